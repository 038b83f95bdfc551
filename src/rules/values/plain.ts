/**
 * Plain values from YAML and JSON: deep equality, and aligning the items of two lists.
 */

/** A value of a table: what YAML's core schema and JSON have in common. */
export type Plain = string | number | boolean | null | undefined | readonly Plain[] | { readonly [key: string]: Plain }

/** Whether two values are alike; the order of keys does not count, and a key that is undefined is none. */
export function sameValue(a: Plain, b: Plain): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (isList(a) || isList(b)) {
    return isList(a) && isList(b) && a.length === b.length && a.every((item, at) => sameValue(item, b[at]))
  }
  const [left, right] = [keysOf(a), keysOf(b)]
  return left.length === right.length && left.every((key) => Object.hasOwn(b, key) && sameValue(a[key], b[key]))
}

/** A map of a table. */
export type PlainMap = { readonly [key: string]: Plain }

/** Whether a value is a list. */
export function isList(value: Plain): value is readonly Plain[] {
  return Array.isArray(value)
}

/** Whether a value is a map. */
export function isPlainMap(value: Plain): value is PlainMap {
  return typeof value === 'object' && value !== null && !isList(value)
}

/** The keys that have a value. */
export function keysOf(map: PlainMap): string[] {
  return Object.keys(map).filter((key) => map[key] !== undefined)
}

/**
 * Which items of two lists are the same one, in order: by their ids where all have one, else those alike at both ends and,
 * between these, those at the same place. Returns null where items have changed places.
 */
export function alignLists(before: readonly Plain[], wanted: readonly Plain[]): [number, number][] | null {
  const [oldIds, newIds] = [before.map(idOf), wanted.map(idOf)]
  if ([...oldIds, ...newIds].every((id) => id !== undefined)) {
    const places = new Map(newIds.map((id, at) => [id, at]))
    const pairs = oldIds.flatMap((id, at): [number, number][] =>
      places.has(id) ? [[at, places.get(id) as number]] : [],
    )
    return pairs.every(([, to], at) => at === 0 || to > (pairs[at - 1] as [number, number])[1]) ? pairs : null
  }
  const shorter = Math.min(before.length, wanted.length)
  let head = 0
  while (head < shorter && sameValue(before[head], wanted[head])) head++
  let tail = 0
  while (tail < shorter - head && sameValue(before.at(-1 - tail), wanted.at(-1 - tail))) tail++
  const middle = shorter - head - tail
  return [
    ...Array.from({ length: head + middle }, (_, at): [number, number] => [at, at]),
    ...Array.from({ length: tail }, (_, at): [number, number] => [
      before.length - tail + at,
      wanted.length - tail + at,
    ]),
  ]
}

function idOf(value: Plain): string | undefined {
  return isPlainMap(value) && typeof value.id === 'string' ? value.id : undefined
}
