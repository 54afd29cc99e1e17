"""The images of a namespace, in two stores that hold one truth.

This is the protocol that keeps vectors and records together. Every write goes under
keys that were never used before. The vectors of an image are stored under its key in the
collection of each model, its record under the same key in the metadata store, and one
cell, `ids[id]`, names the key that is current:

    put     1 journal: the write of these keys has begun, if none of its models is
              being dropped
            2 vectors: store them
            3 metadata, one atomic commit, if the journal still says "begun": records,
              ids, contents; the journal now names the keys that were replaced
            4 vectors: delete those                    5 journal: done
    remove  1 metadata, one atomic commit: delete the records; journal: their keys
            2 vectors: delete them                     3 journal: done
    drop    1 journal: the model is being dropped
            2 journal: writes that were begun with it are taken back
            3 vectors: drop its collection
            4 metadata: records no longer list it      5 journal: done

A reader ignores vectors without a record. So before step 3 it sees the old image and
after it the new one, never the vector of one with the record of the other. Of several
writers of one id, the one that commits last wins whole.

Rows are never overwritten, and keys are never used twice. Therefore a write that was cut
off before step 3 is taken back, and nothing else changes with it: it was not
acknowledged, and what its ids held before is still whole. From step 3 on, the only work
left is to delete rows. So an engine that opens recovers by deleting what the journal
names. Several engines may do so at once, twice, and be cut off.

Step 1 of a drop is final, whoever does the rest. No write with the model begins before
step 5, and writes that had begun are not shown after step 2, however long they pause: so
no record comes to list rows that were deleted in step 3.

The protocol needs no clock or heartbeat to tell a dead writer from a slow one. Taking a
write back changes its journal entry, and step 3 expects the entry unchanged: exactly one
of the two comes first. A slow writer whose write was taken back writes again under fresh
keys. Its entry then says "leased", and engines leave it alone for a minute, so that
engines that keep opening cannot keep it from ever finishing. If it dies then, the first
engine that opens after that minute cleans up.

A slow writer can still store rows (step 2) after its write was taken back and its rows
were deleted. So the entry of such a write stays for an hour, and each engine that opens
deletes its rows again. The remaining gap is a process that pauses for an hour between two
steps and is killed as it wakes. It leaves rows that no reader sees;
`onnxsearch.catalog.integrity` finds them.
"""
