/**
 * The two tiers as one store: memory answers at once, the remote store when asked; what one knows the other learns.
 */
import { isPurged, literalOf, type Purge, type PurgePlace, type PurgeTarget } from '../../rules/caching/purge.ts'
import type { CacheSettings } from '../../rules/table/table.ts'
import { ownTexts } from '../own-texts.ts'
import { isMadeFor, madeFor, type Requester } from './content.ts'
import { PurgeLog } from './purges.ts'
import type { RemoteStore, TableNote } from './remote.ts'
import type { CacheEntry, MemoryStore, StoredAnswer, Variants } from './store.ts'

/** Where the answer to a request lies: its key, and the fields that choose among the variants there. */
export interface Place extends PurgePlace, Requester {
  readonly settings: CacheSettings
}

/** Memory over a remote store, or memory alone. */
export class CacheTiers {
  readonly memory: MemoryStore
  readonly remote: RemoteStore | null
  readonly purges: PurgeLog
  /** Entries found in the remote store that were made for something else than they lay under. */
  misplaced = 0
  /** Tells those who have neither this memory nor, for all one knows, the remote store. Default: there are none. */
  tellInvalidated: (purge: Purge) => void = () => {}

  /** @param note left in the remote store for the next process; by default none */
  constructor(memory: MemoryStore, remote: RemoteStore | null, note: TableNote | null = null) {
    this.memory = memory
    this.remote = remote
    this.purges = new PurgeLog(remote !== null, () => memory.clear())
    remote?.follow(this.purges, note)
  }

  /** The answer that memory holds for a request, or null. */
  find(place: Place, nowMs: number): StoredAnswer | null {
    const entry = this.memory.get(place.key)
    if (entry === undefined) return null
    const key = entry.kind === 'answer' ? place.key : variantKey(place, entry)
    const found = entry.kind === 'answer' ? entry : this.memory.get(key)
    if (found === undefined || found.kind === 'variants' || !isMadeFor(found.content.madeFor, place)) return null
    if (found.checked === this.purges.count && nowMs < found.meta.usefulUntilMs) return found
    return this.#afterPurges(key, found, place, nowMs)
  }

  /** Whether memory knows the resource, if in other variants. */
  knows(key: string): boolean {
    return this.memory.get(key) !== undefined
  }

  /** The fields that are known to tell the answers under a key apart. */
  varyOf(key: string): readonly string[] {
    const entry = this.memory.get(key)
    return entry === undefined ? [] : entry.kind === 'variants' ? entry.vary : entry.meta.vary
  }

  /** The answer that the remote store holds for a request, now in memory too; null where there is none to be had. */
  async findRemote(place: Place, nowMs: () => number): Promise<StoredAnswer | null> {
    const { remote } = this
    if (remote === null || !remote.usable) return null
    let entry: CacheEntry | null | undefined = this.memory.get(place.key)
    let key = place.key
    if (entry?.kind !== 'variants') entry = await remote.get(remoteName(key))
    if (entry?.kind === 'variants') {
      if (entry.key !== place.key) return this.#misplaced()
      this.memory.set(key, entry)
      key = variantKey(place, entry)
      entry = await remote.get(remoteName(key))
    }
    if (entry === null || entry === undefined) return null
    if (entry.kind === 'variants' || entry.content.madeFor.key !== place.key) return this.#misplaced()
    if (!isMadeFor(entry.content.madeFor, place)) return null
    if (nowMs() >= entry.meta.usefulUntilMs) return null
    // It was asked for by who has read on further than we have.
    if (this.purges.isAhead(entry.position)) await remote.catchUp()
    const remains = this.purges.ofShared(entry, place)
    if (remains === null) return null
    // Memory may have learned of a newer one while we waited.
    const here = this.memory.get(key)
    const fits = here?.kind === 'answer' && isMadeFor(here.content.madeFor, place)
    if (fits && here.checked === this.purges.count && here.meta.storedMs >= remains.meta.storedMs) {
      return here
    }
    this.memory.set(key, remains)
    return remains
  }

  /**
   * Keeps an answer for a request, beside its variants or in the place of the one before.
   * @returns when the remote store has it, or won't
   */
  keep(place: Place, answer: StoredAnswer, nowMs: number): Promise<void> {
    const before = this.memory.get(place.key)
    const variants = this.keepHere(place, answer)
    return this.keepThere(place, answer, { variants, told: variants === before }, nowMs)
  }

  /**
   * Keeps it in memory only.
   * @returns what lies under its key, if not the answer itself
   */
  keepHere(place: Place, answer: StoredAnswer): Variants | null {
    const kept = withOwnTexts(ownOf(place, answer))
    const { vary, usefulUntilMs } = kept.meta
    const known = this.memory.get(place.key)
    const before = known?.kind === 'variants' ? known : null
    if (vary.length === 0 && before === null && place.parts === '') {
      this.memory.set(place.key, kept)
      return null
    }
    const variants = variantsWith(place.key, before, vary, usefulUntilMs)
    this.memory.set(place.key, variants)
    // What lay there alone for the usual form of the request goes on to, beside the one that came.
    if (known?.kind === 'answer' && variants.vary.length === 0) {
      this.memory.set(variantName(place.key, known.content.madeFor.parts, ''), known)
    }
    this.memory.set(variantKey(place, variants), kept)
    return variants
  }

  /** Keeps it in the remote store only. @param under what `keepHere` has found under its key, and whether that lies there already */
  async keepThere(
    place: Place,
    answer: StoredAnswer,
    { variants, told }: { readonly variants: Variants | null; readonly told: boolean },
    nowMs: number,
  ): Promise<void> {
    const { remote } = this
    // Nobody could tell which purges it has seen.
    if (remote === null || !this.purges.has(answer.position)) return
    const key = variants === null ? place.key : variantKey(place, variants)
    const untold = variants === null || told ? null : variants
    await Promise.all([
      untold === null ? null : remote.set(remoteName(place.key), untold, untold.untilMs - nowMs),
      remote.set(remoteName(key), ownOf(place, answer), answer.meta.usefulUntilMs - nowMs),
    ])
  }

  /** Drops the one answer that a request would find. */
  drop(place: Place): void {
    const entry = this.memory.get(place.key)
    if (entry === undefined) return
    const key = entry.kind === 'answer' ? place.key : variantKey(place, entry)
    this.memory.delete(key)
    this.remote?.delete(remoteName(key))
  }

  /**
   * What lies under a URL has become untrue, in all processes; so has what is about to be stored there.
   * @returns when the others can know
   */
  async invalidate(purge: Purge): Promise<void> {
    this.purges.add(purge)
    this.tellInvalidated(purge)
    await this.remote?.share(purge)
    await this.remote?.catchUp()
  }

  /**
   * Purges, here at once, and in all processes.
   * @param leads whether it falls to this process to share it, where several of one proxy are told
   * @returns null where the others learn of it; else why they may not yet: they do when the remote store can be written again
   */
  async purge(purge: Purge, leads: boolean): Promise<string | null> {
    this.purges.add(purge)
    return this.remote === null || !leads ? null : await this.remote.share(purge)
  }

  /**
   * Counts the answers in memory that a purge would cover.
   * @param settingsOf a route's settings, or null where it does not cache
   */
  countCovered(target: PurgeTarget, settingsOf: (route: string) => CacheSettings | null): number {
    if (target.what === 'everything') return this.memory.entries
    const literal = literalOf(target)
    let count = 0
    for (const entry of this.memory.all()) {
      if (entry.kind !== 'answer') continue
      const { key } = entry.content.madeFor
      if (!key.includes(literal) && !key.includes('%')) continue
      const [route = '', upstream = '', rest = ''] = key.split('\n')
      const settings = settingsOf(route)
      const place = { route, upstream, url: rest.slice('GET '.length), settings: settings ?? NO_RULES }
      if (isPurged(target, place, entry.rawHeaders) && this.purges.ofMemory({ ...entry }, place) !== null) count++
    }
    return count
  }

  #misplaced(): null {
    this.misplaced++
    return null
  }

  /** An answer that a purge has come after, or whose time is over. */
  #afterPurges(key: string, found: StoredAnswer, place: Place, nowMs: number): StoredAnswer | null {
    const remains = found.checked === this.purges.count ? found : this.purges.ofMemory(found, place)
    if (remains === null || nowMs >= remains.meta.usefulUntilMs) {
      this.memory.delete(key)
      return null
    }
    if (remains !== found) this.memory.set(key, remains)
    return remains
  }
}

const NO_RULES = { key: null, tags: null }

/** An answer with what it was made for: the one before it may have been confirmed by another request. */
function ownOf(place: Place, answer: StoredAnswer): StoredAnswer {
  return { ...answer, content: answer.content.again(madeFor(place, answer.meta.vary)) }
}

/** What of it was cut out of a head. */
function withOwnTexts(answer: StoredAnswer): StoredAnswer {
  const { meta } = answer
  const [reason, etag, lastModified, ...rest] = ownTexts([
    ...[answer.reason, meta.etag ?? '', meta.lastModified ?? ''],
    ...meta.vary,
    ...answer.rawHeaders,
  ]) as [string, string, string, ...string[]]
  return {
    ...answer,
    reason,
    rawHeaders: rest.slice(meta.vary.length),
    meta: {
      ...meta,
      etag: meta.etag === null ? null : etag,
      lastModified: meta.lastModified === null ? null : lastModified,
      vary: rest.slice(0, meta.vary.length),
    },
  }
}

/** It lasts a little longer than its variants, so that not each new one of them writes it anew. */
const SPARE_MS = 60_000

/** The fields that tell variants apart: those of the newest answer that names any (RFC 9111 section 4.1). */
function variantsWith(key: string, before: Variants | null, vary: readonly string[], untilMs: number): Variants {
  const spared = untilMs + SPARE_MS
  if (before === null) return { kind: 'variants', key, vary, untilMs: spared }
  const same = vary.length === 0 || vary.join() === before.vary.join()
  if (same && before.untilMs >= untilMs) return before
  return { ...before, vary: same ? before.vary : vary, untilMs: Math.max(spared, before.untilMs) }
}

function variantKey(place: Place, { vary }: Variants): string {
  return variantName(place.key, place.parts, place.selecting(vary))
}

/** The same in all processes that know the same fields: each finds what another has stored, whoever has lost what. */
function variantName(key: string, parts: string, selected: string): string {
  return `${key}\nv:${parts}\n${selected}`
}

/** Unlike the names under which the release before keeps entries, so that neither reads the other's. */
function remoteName(key: string): string {
  return `2\n${key}`
}
