/**
 * Undoes what one revision changed, among later ones: what it set goes back to what it was, where nobody has changed it since.
 *
 * The values decide, not the lines: equal lines stand in many routes, and a patch of lines could fit another one. The lines are
 * taken back only where that gives the same values; so comments come back too.
 */
import { isList, isPlainMap, keysOf, type Plain, type PlainMap, sameValue } from '../values/plain.ts'
import { editTable, plainTable } from './edit.ts'
import { movedLines } from './text-diff.ts'
import { flowText } from './yaml-print.ts'

/** A value that the revision set, and that has been changed since. Values as in routes.yaml; null where there was none. */
export interface RevertConflict {
  /** Where, by names: `['routes', 'gtin-lookup', 'percent']`, and the same as text. */
  readonly path: readonly string[]
  readonly place: string
  /** What it was before the revision. */
  readonly before: string | null
  /** What the revision made of it. */
  readonly made: string | null
  /** What it is now. */
  readonly now: string | null
}

/** The text without what the revision changed, or what is in the way: no conflict is told where only lines are. */
export type RevertedText =
  | { readonly ok: true; readonly text: string }
  | { readonly ok: false; readonly conflicts: readonly RevertConflict[] }

/** More conflicts are not told. */
const MAX_CONFLICTS = 100
/** Longer values are cut. */
const MAX_VALUE = 200

/**
 * Undoes in `current` what was changed from `before` to `after`; all three are texts that `readTable` accepts.
 * @throws {RangeError} if the values can't be edited alone (see `editTable`)
 */
export function revertText(before: string, after: string, current: string): RevertedText {
  const [old, made, now] = [before, after, current].map(plainTable) as [PlainMap, PlainMap, PlainMap]
  const lines = movedLines(after, before, current)
  if (sameValue(old, made)) {
    // It changed comments, order or spacing only.
    const isSame = lines !== null && sameValue(plainOrNull(lines), now)
    return isSame ? { ok: true, text: lines } : { ok: false, conflicts: [] }
  }
  const conflicts: RevertConflict[] = []
  const wanted = undone(old, made, now, [], conflicts)
  if (conflicts.length > 0) return { ok: false, conflicts: conflicts.slice(0, MAX_CONFLICTS) }
  if (sameValue(wanted, now)) return { ok: true, text: current }
  if (lines !== null && sameValue(plainOrNull(lines), wanted)) return { ok: true, text: lines }
  return {
    ok: true,
    text: editTable(current, () => wanted as unknown as Parameters<Parameters<typeof editTable>[1]>[0]),
  }
}

function plainOrNull(text: string): Plain {
  try {
    return plainTable(text)
  } catch {
    return null
  }
}

/** @param path names so far @returns what the value becomes; undefined for none */
function undone(before: Plain, made: Plain, now: Plain, path: readonly string[], conflicts: RevertConflict[]): Plain {
  if (sameValue(before, made)) return now
  if (sameValue(now, made)) return before
  if (sameValue(now, before)) return now
  if (isPlainMap(before) && isPlainMap(made) && isPlainMap(now)) return undoneMap(before, made, now, path, conflicts)
  const lists = [before, made, now].map((list) => byName(list))
  if (lists.every((list) => list !== null)) {
    const [old, set, is] = lists as [PlainMap, PlainMap, PlainMap]
    return inOrder(undoneMap(old, set, is, path, conflicts), now as readonly Plain[], before as readonly Plain[])
  }
  conflicts.push({ path, place: path.join('.'), before: told(before), made: told(made), now: told(now) })
  return now
}

function undoneMap(
  before: PlainMap,
  made: PlainMap,
  now: PlainMap,
  path: readonly string[],
  conflicts: RevertConflict[],
): PlainMap {
  const keys = [...new Set([now, before, made].flatMap(keysOf))]
  const of = (map: PlainMap, key: string): Plain => (Object.hasOwn(map, key) ? map[key] : undefined)
  const entries = keys.map((key) => {
    return [key, undone(of(before, key), of(made, key), of(now, key), [...path, key], conflicts)] as const
  })
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined))
}

/** Lists whose items have names are compared by these: routes by their id, servers by id or URL. Null for other lists. */
function byName(list: Plain): PlainMap | null {
  if (!isList(list)) return null
  const named = list.map((item) => [nameOf(item), item] as const)
  const names = new Set(named.map(([name]) => name))
  return names.has(null) || names.size < list.length ? null : (Object.fromEntries(named) as PlainMap)
}

function nameOf(item: Plain): string | null {
  if (typeof item === 'string' && item.includes('://')) return item
  if (!isPlainMap(item)) return null
  if (typeof item.id === 'string') return item.id
  return typeof item.url === 'string' ? item.url : null
}

/** The items in the order of today; one that comes back stands behind the one that it stood behind. */
function inOrder(items: PlainMap, now: readonly Plain[], before: readonly Plain[]): readonly Plain[] {
  const names = now.map(nameOf).filter((name) => name !== null && Object.hasOwn(items, name)) as string[]
  const old = before.map(nameOf) as string[]
  for (const [at, name] of old.entries()) {
    if (names.includes(name) || !Object.hasOwn(items, name)) continue
    const behind = old.slice(0, at).findLast((one) => names.includes(one))
    names.splice(behind === undefined ? 0 : names.indexOf(behind) + 1, 0, name)
  }
  return names.map((name) => items[name])
}

function told(value: Plain): string | null {
  if (value === undefined) return null
  const text = flowText(value)
  return text.length > MAX_VALUE ? `${text.slice(0, MAX_VALUE - 1)}…` : text
}
