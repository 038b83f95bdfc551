/**
 * The edits: put, patch, add or remove a route, replace the whole text, restore or revert a revision.
 */
import type { Revision } from '../../state/live-table.ts'
import { type JsonObject, mergePatch } from '../http/merge-patch.ts'
import type { Existence } from '../http/preconditions.ts'
import { revertApart, withLiveApart } from './apart.ts'
import type { Change, ChangedText } from './edit-outcome.ts'
import type { History } from './history.ts'

/** Adds a route at the end of the file. `said` is the request body; errors have pointers into it. */
export function addRoute(said: JsonObject): Change {
  return (revision) => {
    const id = String(said.id)
    if (placeOf(revision, id) !== -1) return { kind: 'route-exists', revision, id }
    return atRoute(routes(revision).length, said)
  }
}

/** Replaces a route in its place, or adds it; `existence` may allow only one of the two. */
export function putRoute(id: string, said: JsonObject, existence: Existence = 'either'): Change {
  return (revision) => {
    const at = placeOf(revision, id)
    const known = at !== -1
    if (existence === (known ? 'new' : 'known')) return { kind: 'unmet', id, known }
    return atRoute(known ? at : routes(revision).length, said)
  }
}

/** Changes a route by a JSON Merge Patch (RFC 7396). */
export function patchRoute(id: string, patch: JsonObject): Change {
  return (revision) => patched(revision, id, patch)
}

function patched(revision: Revision, id: string, patch: JsonObject): ChangedText {
  const at = placeOf(revision, id)
  if (at === -1) return { kind: 'no-such-route', revision, id }
  // A default that the file leaves out stays out: writing it would change nothing but the text.
  if (patch.percent === 0 && routes(revision)[at]?.document.percent === undefined) patch = { ...patch, percent: null }
  return atRoute(at, mergePatch(routes(revision)[at]?.document, patch) as JsonObject)
}

/** Changes several routes at once, each as `patchRoute` does. */
export function patchRoutes(patches: readonly { readonly id: string; readonly patch: JsonObject }[]): Change {
  return (revision) => {
    const changed: { at: number; route: JsonObject }[] = []
    for (const { id, patch } of patches) {
      const one = patched(revision, id, patch)
      if (one.kind !== 'edit' || one.edit.kind !== 'route') return one
      changed.push({ at: one.edit.at, route: one.edit.route as JsonObject })
    }
    return { kind: 'edit', edit: { kind: 'routes', routes: changed }, place: null }
  }
}

/** Removes a route: its requests go to other routes that match, or to the default. */
export function removeRoute(id: string): Change {
  return (revision) => {
    const at = placeOf(revision, id)
    return at === -1 ? { kind: 'no-such-route', revision, id } : atRoute(at, null)
  }
}

/** Replaces the whole text. */
export function replaceText(text: string): Change {
  return () => ({ kind: 'text', text })
}

/** Replaces the whole text by one that does not know how far percents are: those that are live stay. */
export function replaceButPercents(text: string): Change {
  return async (revision) => ({ kind: 'text', text: await withLiveApart(text, revision.text), keepsOthers: true })
}

/** Restores the text of an earlier revision, byte for byte. */
export function restoreRevision(number: number, history: History): Change {
  return async () => {
    const text = await history.textOf(number)
    return text === null ? { kind: 'no-such-revision', number } : { kind: 'text', text }
  }
}

/** Undoes what the revisions from `first` to `last` changed, and nothing of what others changed since. */
export function revertRevisions(first: number, last: number, history: History): Change {
  return async ({ text: current }) => {
    const made = await history.textOf(last)
    if (made === null) return { kind: 'no-such-revision', number: last }
    const before = await history.textBefore(first)
    if (before === null) return { kind: 'no-predecessor', number: first }
    const reverted = await revertApart(before, made, current)
    if ('message' in reverted) return { kind: 'not-revertible', number: last, message: reverted.message }
    if (!reverted.ok) return { kind: 'conflict', number: last, conflicts: reverted.conflicts }
    return { kind: 'text', text: reverted.text, keepsOthers: true }
  }
}

function routes(revision: Revision) {
  return revision.table.routes
}

function placeOf({ table }: Revision, id: string): number {
  return table.places.get(id) ?? -1
}

/** @param route null removes the route */
function atRoute(at: number, route: JsonObject | null): ChangedText {
  return { kind: 'edit', edit: { kind: 'route', at, route }, place: route === null ? null : `/routes/${at}` }
}
