/**
 * The edits that can be asked for: a route put, patched, added or removed, the whole text, an earlier revision.
 */

import { editTable } from '../../rules/language/edit.ts'
import type { Problem } from '../../rules/language/text.ts'
import type { RouteDocument, TableDocument } from '../../rules/table/schema.ts'
import type { Revision } from '../../state/live-table.ts'
import { type JsonObject, mergePatch } from '../http/merge-patch.ts'
import type { Existence } from '../http/preconditions.ts'
import type { FieldError } from '../http/problem.ts'
import type { Change, ChangedText } from './edit-outcome.ts'
import type { History } from './history.ts'

/** Adds a route at the end of the file. `said` is what the body says; what is wrong with it is told at its pointers. */
export function addRoute(said: JsonObject): Change {
  return (revision) => {
    const id = String(said.id)
    if (has(revision, id)) return { kind: 'route-exists', revision, id }
    return withRoutes(revision, (routes) => [...routes, said], routes(revision).length)
  }
}

/** Makes a route what the body says: replaces it where it stands, or adds it; only that one of the two that `existence` asks for. */
export function putRoute(id: string, said: JsonObject, existence: Existence = 'either'): Change {
  return (revision) => {
    const at = routes(revision).findIndex((route) => route.id === id)
    const known = at !== -1
    if (existence === (known ? 'new' : 'known')) return { kind: 'unmet', id, known }
    if (!known) return withRoutes(revision, (all) => [...all, said], routes(revision).length)
    return withRoutes(revision, (all) => all.map((route, index) => (index === at ? said : route)), at)
  }
}

/** Changes a route by a JSON Merge Patch (RFC 7396). */
export function patchRoute(id: string, patch: JsonObject): Change {
  return (revision) => {
    const at = routes(revision).findIndex((route) => route.id === id)
    if (at === -1) return { kind: 'no-such-route', revision, id }
    // What the file leaves out is said by its default: writing it out would change the text and nothing else.
    if (patch.percent === 0 && routes(revision)[at]?.document.percent === undefined) patch = { ...patch, percent: null }
    const patched = mergePatch(routes(revision)[at]?.document, patch) as JsonObject
    return withRoutes(revision, (all) => all.map((route, index) => (index === at ? patched : route)), at)
  }
}

/** Sets a route's percent: 0 to 100 with up to 4 decimals. */
export function setPercent(id: string, percent: number): Change {
  return patchRoute(id, { percent })
}

/** Removes a route: its requests go to whatever else claims them, or to the default. */
export function removeRoute(id: string): Change {
  return (revision) => {
    if (!has(revision, id)) return { kind: 'no-such-route', revision, id }
    return withRoutes(revision, (all) => all.filter((route) => route.id !== id), -1)
  }
}

/** Makes this the whole text. */
export function replaceText(text: string): Change {
  return () => ({ kind: 'text', text })
}

/** Makes an earlier revision's text the text again, byte for byte. */
export function restoreRevision(number: number, history: History): Change {
  return async () => {
    const text = await history.textOf(number)
    return text === null ? { kind: 'no-such-revision', number } : { kind: 'text', text }
  }
}

function routes(revision: Revision) {
  return revision.table.routes
}

function has(revision: Revision, id: string): boolean {
  return routes(revision).some((route) => route.id === id)
}

type AnyRoute = RouteDocument | JsonObject

/** `at` is where in the list the route stands that the body speaks of; -1 where it speaks of none. */
function withRoutes(revision: Revision, edit: (routes: readonly AnyRoute[]) => AnyRoute[], at: number): ChangedText {
  const change = (document: TableDocument): TableDocument =>
    ({ ...document, routes: edit(document.routes ?? []) }) as TableDocument
  return withDocument(revision, change, `/routes/${at}`)
}

/**
 * The text of a revision, changed so that it says what `change` returns.
 * @param place JSON Pointer of what the request's body speaks of: what is wrong there is an error of the body
 */
export function withDocument(
  revision: Revision,
  change: (document: TableDocument) => TableDocument,
  place: string,
): ChangedText {
  try {
    const text = editTable(revision.text, change)
    return { kind: 'text', text, fieldErrors: (problems) => fieldErrors(problems, place) }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    const place = { file: 'routes.yaml', line: 1, column: 1, pointer: '', severity: 'error' } as const
    return { kind: 'refused', problems: [{ ...place, message: error.message, hint: 'edit the table file' }] }
  }
}

/** The problems as errors of the body, if all of them lie in it. */
function fieldErrors(problems: readonly Problem[], prefix: string): FieldError[] | null {
  const errors = problems.filter(({ severity }) => severity === 'error')
  if (!errors.every(({ pointer }) => pointer === prefix || pointer.startsWith(`${prefix}/`))) return null
  return errors.map(({ pointer, message, hint }) => ({
    pointer: pointer.slice(prefix.length),
    detail: message,
    ...(hint === undefined ? {} : { hint }),
  }))
}
