"""What runs inside a Redis server in one step: commits, and changes of indexes of words.

Names of keys are joined as in `onnxsearch.metadata.redis.words.index`.
"""

from __future__ import annotations

# Expectations come before writes, and types are looked at first of all, because
# nothing takes back what a script has written when it fails later. Redis itself
# refuses (full, read-only, cannot save) at a script's first write or never. For the same
# reason, the changes for the indexes of words are noted before the first value is written:
# a user without the right to do so writes nothing, and a note too many does no harm.
COMMIT = """
for _, key in ipairs(KEYS) do
  local kind = redis.call('TYPE', key).ok
  if kind ~= 'hash' and kind ~= 'none' then
    return redis.error_reply('WRONGTYPE ' .. key .. ' is a ' .. kind .. ', not a hash')
  end
end
local first_write = 2 + 4 * tonumber(ARGV[1])
for i = 2, first_write - 1, 4 do
  local present = ARGV[i + 2] == '1'
  local value = redis.call('HGET', KEYS[2 * tonumber(ARGV[i]) - 1], ARGV[i + 1])
  if value ~= (present and ARGV[i + 3]) then return 0 end
end
local indexes = {}
for i = 2, #KEYS, 2 do
  indexes[i / 2] = {}
  if redis.call('HLEN', KEYS[i]) > 0 then
    for _, digest in ipairs(redis.call('HKEYS', KEYS[i])) do
      if digest ~= 'sequence' then table.insert(indexes[i / 2], KEYS[i] .. '\\31' .. digest) end
    end
  end
end
for i = first_write, #ARGV, 4 do
  local number, field = tonumber(ARGV[i]), ARGV[i + 1]
  for _, index in ipairs(indexes[number]) do
    local changes = index .. '\\31changes'
    -- What was never read need not be forgotten: an index that nobody searches stays small.
    if ARGV[i + 2] == '1' or redis.call('HEXISTS', index, 'key ' .. field) == 1 then
      redis.call('ZADD', changes, redis.call('HINCRBY', KEYS[2 * number], 'sequence', 1), field)
    else
      redis.call('ZREM', changes, field)
    end
  end
end
for i = first_write, #ARGV, 4 do
  local key = KEYS[2 * tonumber(ARGV[i]) - 1]
  if ARGV[i + 2] == '1' then
    redis.call('HSET', key, ARGV[i + 1], ARGV[i + 3])
  else
    redis.call('HDEL', key, ARGV[i + 1])
  end
end
return 1
"""
"""KEYS: hashes of values, each followed by its indexes. ARGV: number of expectations, then for each
expectation and write the number of the hash, the field, 1 or 0 for absent, and the value."""

CREATE = """
local indexes, index = KEYS[1], KEYS[1] .. '\\31' .. ARGV[1]
local is_named = redis.call('HEXISTS', indexes, ARGV[1]) == 1
if is_named and redis.call('HEXISTS', index, 'version') == 1 then return 0 end
local others, found = {}, redis.call('HGETALL', indexes)
for i = 1, #found, 2 do
  if found[i] ~= 'sequence' and found[i] ~= ARGV[1] then
    table.insert(others, {tonumber(found[i + 1]), found[i]})
  end
end
table.sort(others, function(one, other) return one[1] < other[1] end)
for i = 1, #others - tonumber(ARGV[2]) + 1 do
  local oldest = indexes .. '\\31' .. others[i][2]
  redis.call('HDEL', indexes, others[i][2])
  redis.call('UNLINK', oldest, oldest .. '\\31changes')
end
local made = redis.call('HINCRBY', indexes, 'sequence', 1)
redis.call('UNLINK', index, index .. '\\31changes')
redis.call('HSET', indexes, ARGV[1], made)
redis.call('HSET', index, 'version', made, 'documents', 0, 'length', 0, 'next', 0)
return 1
"""
"""Create an index unless it exists. KEYS: the indexes. ARGV: digest, indexes at most."""

NOTE = """
local index = KEYS[1] .. '\\31' .. ARGV[1]
if redis.call('HEXISTS', index, 'version') == 0 then return 0 end
for i = 2, #ARGV do
  redis.call('ZADD', index .. '\\31changes', 'NX',
    redis.call('HINCRBY', KEYS[1], 'sequence', 1), ARGV[i])
end
return 1
"""
"""Note keys that are to be read, in an index that exists. KEYS: the indexes. ARGV: digest, keys."""

REPLACE = """
local index = KEYS[1] .. '\\31' .. ARGV[1]
if redis.call('HGET', index, 'version') ~= ARGV[2] then return 0 end
local first_field = 5 + 2 * tonumber(ARGV[3])
for i = 5, first_field - 1, 2 do
  -- A key that has changed once more since it was read has another number, and stays noted.
  if redis.call('ZSCORE', index .. '\\31changes', ARGV[i]) == ARGV[i + 1] then
    redis.call('ZREM', index .. '\\31changes', ARGV[i])
  end
end
local deleted = first_field + tonumber(ARGV[4])
-- Lua passes some thousand arguments at most.
for i = first_field, deleted - 1, 1000 do
  redis.call('HSET', index, unpack(ARGV, i, math.min(i + 999, deleted - 1)))
end
for i = deleted, #ARGV, 1000 do
  redis.call('HDEL', index, unpack(ARGV, i, math.min(i + 999, #ARGV)))
end
redis.call('HSET', index, 'version', redis.call('HINCRBY', KEYS[1], 'sequence', 1))
return 1
"""
"""Change an index if it has not changed meanwhile. KEYS: the indexes. ARGV: digest, the version
that was read, number of changes, twice the number of new values; then for each change its key and
number, for each new value its field and the value, and fields to delete."""

DROP = """
local index = KEYS[1] .. '\\31' .. ARGV[1]
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('UNLINK', index, index .. '\\31changes')
return 1
"""
"""Delete an index. KEYS: the indexes. ARGV: digest."""
