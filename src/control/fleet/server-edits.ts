/**
 * Edits of an upstream's `servers` in the table: adds, changes or removes one and keeps every other byte.
 */

import { compileServer } from '../../rules/language/compile.ts'
import { flawOfServerUrl } from '../../rules/patterns/origin.ts'
import type { UpstreamDocument } from '../../rules/table/schema.ts'
import { pointerOf } from '../../rules/values/problem.ts'
import type { Revision } from '../../state/live-table.ts'
import { isJsonObject, type JsonObject, mergePatch } from '../http/merge-patch.ts'
import type { Change, ChangedText } from '../table/edit-outcome.ts'
import { fitsId } from './server-body.ts'

type Entry = UpstreamDocument['servers'][number]

/** Replaces the server with that id, or adds it at the end. */
export function putServer(
  upstream: string,
  id: string,
  said: { readonly url: string; readonly weight?: number | undefined },
): Change {
  return (revision) =>
    withServers(revision, upstream, (entries) => {
      const at = placeOf(entries, id)
      const old = entries[at]
      const entry = entryOf(id, said, old)
      return at === -1
        ? { entries: [...entries, entry], at: entries.length }
        : { entries: entries.map((one, index) => (index === at ? entry : one)), at }
    })
}

/** Changes a server by a JSON Merge Patch (RFC 7396) of `{url, weight}`. */
export function patchServer(upstream: string, id: string, patch: JsonObject): Change {
  return (revision) => {
    const entries = revision.table.upstreams.get(upstream)?.document.servers ?? []
    const at = placeOf(entries, id)
    if (at === -1) return missing(revision, upstream, id)
    const old = entries[at] as Entry
    const patched = mergePatch(typeof old === 'string' ? { url: old } : old, patch) as JsonObject
    const { url, weight } = patched
    const plain = typeof old === 'string' && Object.keys(patched).every((key) => key === 'url' || key === 'weight')
    // A default that the file leaves out stays out: writing it would change nothing but the text.
    const entry = plain && (weight === undefined || weight === 1) && typeof url === 'string' ? url : { ...patched }
    const named = isJsonObject(entry) ? withId(entry, id) : entry
    if (typeof url === 'string' && flawOfServerUrl(url) === null && !fitsId(id, url)) {
      const error = { pointer: '/url', detail: `the id ${id} does not match the URL ${url}` }
      return { kind: 'invalid', errors: [error], more: 0 }
    }
    return withServers(revision, upstream, (all) => ({
      entries: all.map((one, index) => (index === at ? (named as Entry) : one)),
      at,
    }))
  }
}

/** Removes a server. The last one of an upstream can't be removed. */
export function removeServer(upstream: string, id: string): Change {
  return (revision) => {
    const entries = revision.table.upstreams.get(upstream)?.document.servers ?? []
    const at = placeOf(entries, id)
    if (at === -1) return missing(revision, upstream, id)
    if (entries.length === 1) return { kind: 'last-server', upstream, id }
    return withServers(revision, upstream, (all) => ({ entries: all.filter((_, index) => index !== at), at: -1 }))
  }
}

function placeOf(entries: readonly Entry[], id: string): number {
  return entries.findIndex((entry) => compileServer(entry).id === id)
}

function missing(revision: Revision, upstream: string, id: string): ChangedText {
  if (!revision.table.upstreams.has(upstream)) return { kind: 'no-such-upstream', revision, name: upstream }
  return { kind: 'no-such-server', revision, upstream, id }
}

/** The shortest notation; an entry that is a map stays a map. */
function entryOf(
  id: string,
  { url, weight = 1 }: { url: string; weight?: number | undefined },
  old: Entry | undefined,
): Entry {
  const isMap = typeof old === 'object'
  const entry: JsonObject = weight !== 1 || (isMap && old.weight !== undefined) ? { url, weight } : { url }
  const named = withId(entry, id)
  if (isMap && old.id === id) return { ...(named as { url: string }), id }
  return Object.keys(named).length === 1 && !isMap ? url : (named as { url: string })
}

/** Adds the id, unless it is the `host:port` of the URL. */
function withId(entry: JsonObject, id: string): JsonObject {
  const { id: _, ...rest } = entry
  const own = typeof rest.url === 'string' && flawOfServerUrl(rest.url) === null ? compileServer(rest.url).id : null
  return own === id ? rest : { ...rest, id }
}

function withServers(
  revision: Revision,
  upstream: string,
  edit: (entries: readonly Entry[]) => { readonly entries: readonly Entry[]; readonly at: number },
): ChangedText {
  const document = revision.table.upstreams.get(upstream)?.document
  if (document === undefined) return { kind: 'no-such-upstream', revision, name: upstream }
  const { entries, at } = edit(document.servers)
  const place = at === -1 ? null : pointerOf(['upstreams', upstream, 'servers', at])
  return { kind: 'edit', edit: { kind: 'servers', upstream, servers: entries }, place }
}
