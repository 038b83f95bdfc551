/**
 * Changes of the numbers that move traffic, percents and weights: in the text of a table and in the table, without a parse.
 */
import { targetNames } from '../routing/targets.ts'
import type { RouteDocument, UpstreamDocument } from '../table/schema.ts'
import type { Route, Table, Upstream } from '../table/table.ts'
import { isList, isPlainMap, keysOf, type Plain, sameValue } from '../values/plain.ts'
import { withEntries } from './compile.ts'
import type { TableEdit } from './edit.ts'
import { schemaFindings } from './findings.ts'

/**
 * The places of the numbers in a text, in its order. Each is four integers, so that thousands of them are sent to another thread
 * and moved within a text in no time: the offsets of its start and end, what it belongs to, and which of its numbers it is.
 */
export type NumberPlaces = Int32Array

export const WIDTH = 4

/** Names a number of a table. Plain data. */
interface NumberName {
  /** The place of its route; of its upstream, the bitwise complement. */
  readonly owner: number
  /** `PERCENT`, or the place in the map `to`; of an upstream, the place in the list of its servers. */
  readonly part: number
}

export const PERCENT = -1

/** A number that becomes another one. Plain data. */
export interface NumberChange extends NumberName {
  readonly value: number
}

/** How a table writes a number that can be replaced by another one as it is. */
export const NUMBER = /^(?:0|[1-9]\d{0,14})(?:\.\d{1,15})?$/

/** The numbers that an edit changes; null where it changes anything else. */
export function numbersOfEdit(edit: TableEdit, table: Table): NumberChange[] | null {
  if (edit.kind === 'servers') {
    const owner = ~[...table.upstreams.keys()].indexOf(edit.upstream)
    const before = table.upstreams.get(edit.upstream)?.document.servers
    return before === undefined ? null : weightsOf(owner, before, edit.servers as Plain)
  }
  const routes = edit.kind === 'routes' ? edit.routes : [edit]
  const changes: NumberChange[] = []
  for (const { at, route } of routes) {
    const before = table.routes[at]?.document
    const own = before === undefined || route === null ? null : numbersOfRoute(at, before, route as PlainRoute)
    if (own === null) return null
    changes.push(...own)
  }
  return changes
}

type PlainRoute = { readonly [key: string]: Plain }

function numbersOfRoute(owner: number, before: RouteDocument, after: PlainRoute): NumberChange[] | null {
  const { percent, to, ...rest } = before as unknown as PlainRoute
  const { percent: newPercent, to: newTo, ...newRest } = after
  const weights = numbersOfMap(owner, to, newTo)
  if (weights === null || !sameValue(rest, newRest)) return null
  if (percent === newPercent) return weights
  if (typeof percent !== 'number' || typeof newPercent !== 'number') return null
  return [{ owner, part: PERCENT, value: newPercent }, ...weights]
}

function numbersOfMap(owner: number, before: Plain, after: Plain): NumberChange[] | null {
  if (before === after) return []
  if (!isPlainMap(before) || !isPlainMap(after)) return null
  const names = keysOf(before)
  if (!sameValue(names, keysOf(after))) return null
  const changes: NumberChange[] = []
  for (const [part, name] of names.entries()) {
    const value = after[name]
    if (typeof value !== 'number') return null
    if (value !== before[name]) changes.push({ owner, part, value })
  }
  return changes
}

function weightsOf(owner: number, before: Plain, after: Plain): NumberChange[] | null {
  if (!isList(before) || !isList(after) || before.length !== after.length) return null
  const changes: NumberChange[] = []
  for (const [part, server] of before.entries()) {
    const other = after[part]
    if (sameValue(server, other)) continue
    if (!isPlainMap(server) || !isPlainMap(other)) return null
    const { weight, ...rest } = server
    const { weight: value, ...newRest } = other
    if (typeof weight !== 'number' || typeof value !== 'number' || !sameValue(rest, newRest)) return null
    changes.push({ owner, part, value })
  }
  return changes
}

/** How many characters are compared at once. */
const BLOCK = 4096

/** A number as `NUMBER`, at a place. */
const NUMBER_HERE = /(?:0|[1-9]\d{0,14})(?:\.\d{1,15})?/y

/** Texts that differ in more numbers than this are for a parse. */
export const MAX_NUMBERS = 100

/** The numbers in which two texts differ; null where they differ in anything else, or in very many. */
export function numbersBetween(places: NumberPlaces, before: string, after: string): NumberChange[] | null {
  const changes: NumberChange[] = []
  let [at, from, shift] = [0, 0, 0]
  while (changes.length <= MAX_NUMBERS) {
    const head = firstDifference(before, from, after, from + shift)
    if (head === null) return changes
    while (at < places.length && (places[at + 1] as number) < head) at += WIDTH
    const [start, end, owner, part] = places.subarray(at, at + WIDTH)
    if (start === undefined || end === undefined || owner === undefined || part === undefined) return null
    if (start > head || start < from) return null
    NUMBER_HERE.lastIndex = start + shift
    const text = NUMBER_HERE.exec(after)?.[0]
    if (text === undefined) return null
    changes.push({ owner, part, value: Number(text) })
    at += WIDTH
    from = end
    shift += text.length - (end - start)
  }
  return null
}

/** Where two texts differ first, from an offset in each on, as an offset in the first one; null where they do not. */
function firstDifference(one: string, from: number, other: string, otherFrom: number): number | null {
  const shift = otherFrom - from
  const shorter = Math.min(one.length, other.length - shift)
  let at = from
  while (at < shorter && one.slice(at, at + BLOCK) === other.slice(at + shift, at + shift + BLOCK)) at += BLOCK
  at = Math.min(at, shorter)
  while (at < shorter && one.charCodeAt(at) === other.charCodeAt(at + shift)) at++
  return at === one.length && at + shift === other.length ? null : at
}

/** The numbers in which two tables differ; null where they differ in anything else. */
export function numbersOfTables(before: Table, after: Table): NumberChange[] | null {
  const names = [...before.upstreams.keys()]
  if (before.default !== after.default || before.defaultStatus !== after.defaultStatus) return null
  if (!sameValue(before.visitor.document, after.visitor.document)) return null
  if (!sameValue(names, [...after.upstreams.keys()]) || before.routes.length !== after.routes.length) return null
  const changes: NumberChange[] = []
  for (const [at, name] of names.entries()) {
    const [one, other] = [before.upstreams.get(name) as Upstream, after.upstreams.get(name) as Upstream]
    if (one === other) continue
    const { servers, ...rest } = one.document
    const { servers: newServers, ...newRest } = other.document
    const own = sameValue(rest as Plain, newRest as Plain) ? weightsOf(~at, servers, newServers) : null
    if (own === null) return null
    changes.push(...own)
  }
  for (const [at, route] of before.routes.entries()) {
    const other = after.routes[at] as Route
    if (route === other) continue
    const own = numbersOfRoute(at, route.document, other.document as unknown as PlainRoute)
    if (own === null) return null
    changes.push(...own)
  }
  return changes.length > MAX_NUMBERS ? null : changes
}

/**
 * The same changes in a table with other routes and upstreams.
 * @returns null where an entry that they change is not the same in the other table as it was before them
 */
export function numbersElsewhere(changes: readonly NumberChange[], before: Table, other: Table): NumberChange[] | null {
  const names = [...before.upstreams.keys()]
  const otherNames = [...other.upstreams.keys()]
  const moved: NumberChange[] = []
  for (const { owner, part, value } of changes) {
    const name = names[~owner] ?? ''
    const id = before.routes[owner]?.id ?? ''
    const at = owner < 0 ? ~otherNames.indexOf(name) : (other.places.get(id) ?? null)
    const [one, two] =
      owner < 0
        ? [before.upstreams.get(name), other.upstreams.get(name)]
        : [before.routes[owner], other.routes[at ?? -1]]
    if (at === null || one === undefined || two === undefined) return null
    if (one !== two && !sameValue(one.document as unknown as Plain, two.document as unknown as Plain)) return null
    moved.push({ owner: at, part, value })
  }
  return moved
}

/** A text with other numbers. */
export interface TextWithNumbers {
  readonly text: string
  readonly places: NumberPlaces
}

/** Changes numbers in a text. @returns null where one of them does not stand in it, or can't be written like the others */
export function withNumbers(
  text: string,
  places: NumberPlaces,
  changes: readonly NumberChange[],
): TextWithNumbers | null {
  const written = new Map<number, string>()
  for (const { owner, part, value } of changes) {
    let at = 0
    while (at < places.length && (places[at + 2] !== owner || places[at + 3] !== part)) at += WIDTH
    if (at >= places.length || !NUMBER.test(String(value))) return null
    written.set(at, String(value))
  }
  const moved = places.slice()
  const pieces: string[] = []
  let [from, shift] = [0, 0]
  for (let at = 0; at < places.length; at += WIDTH) {
    const [start, end] = [places[at] as number, places[at + 1] as number]
    moved[at] = start + shift
    const number = written.get(at)
    if (number !== undefined) {
      pieces.push(text.slice(from, start), number)
      from = end
      shift += number.length - (end - start)
    }
    moved[at + 1] = end + shift
  }
  return { text: pieces.join('') + text.slice(from), places: moved }
}

/**
 * A table with other numbers.
 * @param isChecked whether that was done where the changes come from, as a process that serves need not do it again
 * @returns null where there is something to be said about one of them: the whole text tells what
 */
export function tableWithNumbers(table: Table, changes: readonly NumberChange[], isChecked = false): Table | null {
  const names = [...table.upstreams.keys()]
  const routes = new Map<number, RouteDocument>()
  const upstreams = new Map<string, UpstreamDocument>()
  for (const { owner, part, value } of changes) {
    if (owner < 0) {
      const name = names[~owner] as string
      const said = upstreams.get(name) ?? table.upstreams.get(name)?.document
      const servers = said?.servers.map((one, at) =>
        at === part && typeof one !== 'string' ? { ...one, weight: value } : one,
      )
      if (said === undefined || servers === undefined) return null
      upstreams.set(name, { ...said, servers })
      continue
    }
    const said = routes.get(owner) ?? table.routes[owner]?.document
    const changed = said === undefined ? null : routeWith(said, part, value)
    if (changed === null) return null
    routes.set(owner, changed)
  }
  return isChecked || isPlain(table, routes, upstreams) ? withEntries(table, routes, upstreams) : null
}

function routeWith(said: RouteDocument, part: number, value: number): RouteDocument | null {
  if (part === PERCENT) return { ...said, percent: value }
  const name = targetNames(said.to)[part]
  return typeof said.to === 'string' || name === undefined ? null : { ...said, to: { ...said.to, [name]: value } }
}

/** Whether nothing can be said about these entries, of which only numbers are new. */
function isPlain(
  table: Table,
  routes: ReadonlyMap<number, RouteDocument>,
  upstreams: ReadonlyMap<string, UpstreamDocument>,
): boolean {
  for (const { to, from = table.default } of routes.values()) {
    if (targetNames(to).includes(from)) return false
    if (typeof to !== 'string' && !Object.values(to).some((weight) => weight > 0)) return false
  }
  const some = upstreams.size === 0 ? { it: { servers: ['http://localhost'] } } : Object.fromEntries(upstreams)
  return schemaFindings({ version: 1, upstreams: some, default: 'it', routes: [...routes.values()] }).length === 0
}
