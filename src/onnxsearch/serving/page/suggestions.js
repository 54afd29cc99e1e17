// What may come next in a filter such as `kind == "cat" and price < 20`.

const MOST = 8;
const QUOTED = String.raw`"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'`;
const FIELD = String.raw`((?:[\p{L}_][\p{L}\p{N}_.]*)|` + "`[^`]*`)";
const VALUE = new RegExp(`${FIELD}\\s*(?:==|!=|contains|startswith)\\s*(["']?[^"']*)$`, "iu");
const OPERATOR = new RegExp(`${FIELD}\\s+([=!<>a-z]*)$`, "iu");
const START = /(?:^|\(|\band\b|\bor\b|\bnot\b)\s*([\p{L}_`][\p{L}\p{N}_.]*)?$/iu;
const DONE = new RegExp(`(?:${QUOTED}|\\d|\\btrue|\\bfalse|\\bexists|\\]|\\))\\s+(a|an|o)?$`, "iu");

const OPERATORS = {
  text: ["==", "!=", "contains", "startswith", "exists"],
  number: ["==", "!=", "<", "<=", ">", ">=", "exists"],
  boolean: ["==", "!=", "exists"],
  list: ["contains", "exists"],
};

/** Return what may follow the text before the cursor: the text, a note, and how much it replaces. */
export function suggestionsAt(before, fields) {
  const described = describe(fields);
  let found;
  if ((found = START.exec(before))) return fieldsLike(found[1] ?? "", described);
  if ((found = DONE.exec(before))) return words(["and ", "or "], found[1] ?? "");
  if ((found = VALUE.exec(before))) return valuesLike(found[2], described.get(unquoted(found[1])));
  if ((found = OPERATOR.exec(before))) {
    const { type } = described.get(unquoted(found[1])) ?? {};
    const signs = OPERATORS[type] ?? [...new Set(Object.values(OPERATORS).flat())];
    return words(
      signs.map((sign) => `${sign} `),
      found[2],
    );
  }
  return [];
}

/** Return a field as a filter writes it: names that are not one word in backquotes. */
export function fieldText(name) {
  const reserved = /^(and|or|not|in|contains|startswith|exists|true|false)$/i.test(name);
  if (/^[\p{L}_][\p{L}\p{N}_]*$/u.test(name) && !reserved) return name;
  return `\`${JSON.stringify(name).slice(1, -1).replaceAll("`", "\\`")}\``;
}

/** Return the type and some values of each field. */
function describe(fields) {
  return new Map(
    Object.entries(fields).map(([name, { types, values }]) => [
      name,
      { type: types.find((type) => type in OPERATORS) ?? types[0], values },
    ]),
  );
}

const unquoted = (name) => (name.startsWith("`") ? name.slice(1, -1) : name);

/** Return a field of a nested object, which the service names `outer.inner`, as filters write it. */
const pathText = (name) => name.split(".").map(fieldText).join(".");

function fieldsLike(start, described) {
  const wanted = start.replace("`", "").toLowerCase();
  return [...described]
    .filter(([name]) => name.toLowerCase().startsWith(wanted))
    .slice(0, MOST)
    .map(([name, { type }]) => ({
      text: `${pathText(name)} `,
      note: type,
      replaces: start.length,
    }));
}

function valuesLike(start, described) {
  const values = described?.type === "boolean" ? [true, false] : (described?.values ?? []);
  const wanted = start.replace(/^["']/, "").toLowerCase();
  return values
    .filter((value) => String(value).toLowerCase().startsWith(wanted))
    .slice(0, MOST)
    .map((value) => ({ text: `${JSON.stringify(value)} `, replaces: start.length }));
}

const words = (all, start) =>
  all
    .filter((word) => word.trim() !== start && word.startsWith(start.toLowerCase()))
    .map((word) => ({ text: word, replaces: start.length }));
