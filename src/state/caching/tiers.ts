/**
 * The two tiers as one store: memory answers at once, the remote store when asked; what one knows the other learns.
 */
import type { Purge, PurgePlace } from '../../rules/caching/purge.ts'
import type { CacheSettings } from '../../rules/table/table.ts'
import { isMadeFor, madeFor, type Requester } from './content.ts'
import { PurgeLog } from './purges.ts'
import type { RemoteStore } from './remote.ts'
import type { CacheEntry, MemoryStore, StoredAnswer, Variants } from './store.ts'

/** Where the answer to a request lies: its key, and the fields that choose among the variants there. */
export interface Place extends PurgePlace, Requester {
  readonly settings: CacheSettings
}

/** Told when a key's answers have become untrue: whoever is about to store one must not. */
export type ForgetListener = (key: string) => void

/** Memory over a remote store, or memory alone. */
export class CacheTiers {
  readonly memory: MemoryStore
  readonly remote: RemoteStore | null
  readonly purges = new PurgeLog()
  /** Entries found in the remote store that were made for something else than they lay under. */
  misplaced = 0
  #onForget: ForgetListener = () => {}
  /** Tells those who have neither this memory nor, for all one knows, the remote store. Default: there are none. */
  tellForgotten: ForgetListener = () => {}

  constructor(memory: MemoryStore, remote: RemoteStore | null) {
    this.memory = memory
    this.remote = remote
    remote?.follow({
      onPurge: (purge, id) => this.#apply(purge, id),
      onForget: (key) => {
        this.#forgetHere(key)
        // Whoever told may know older names only.
        this.remote?.delete(remoteName(key))
      },
      onGap: (id) => {
        this.purges.forget(id)
        this.#apply({ target: { what: 'everything' }, soft: false, atMs: 0 }, 0)
      },
      onReset: (id) => {
        this.purges.generation = id
      },
    })
  }

  /** @param listener replaces the one before */
  onForget(listener: ForgetListener): void {
    this.#onForget = listener
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
  async keep(place: Place, answer: StoredAnswer, nowMs: number): Promise<void> {
    const lastsMs = answer.meta.usefulUntilMs - nowMs
    const known = this.memory.get(place.key)
    const before = known?.kind === 'variants' ? known : null
    const { vary } = answer.meta
    const kept = { ...answer, content: answer.content.again(madeFor(place, vary)) }
    if (vary.length === 0 && before === null && place.parts === '') {
      this.memory.set(place.key, kept)
      await this.remote?.set(remoteName(place.key), kept, lastsMs)
      return
    }
    const variants = variantsWith(place.key, before, vary, answer.meta.usefulUntilMs)
    const key = variantKey(place, variants)
    this.memory.set(place.key, variants)
    // What lay there alone for the usual form of the request goes on to, beside the one that came.
    if (known?.kind === 'answer' && variants.vary.length === 0) {
      this.memory.set(variantName(place.key, variants, known.content.madeFor.parts, ''), known)
    }
    this.memory.set(key, kept)
    const told =
      variants === before ? null : this.remote?.set(remoteName(place.key), variants, variants.untilMs - nowMs)
    await Promise.all([told, this.remote?.set(remoteName(key), kept, lastsMs)])
  }

  /** Drops the one answer that a request would find. */
  drop(place: Place): void {
    const entry = this.memory.get(place.key)
    if (entry === undefined) return
    const key = entry.kind === 'answer' ? place.key : variantKey(place, entry)
    this.memory.delete(key)
    this.remote?.delete(remoteName(key))
  }

  /** Drops all variants under a key, here and in all processes, and what is about to be stored there. */
  forget(key: string): void {
    this.#forgetHere(key)
    this.remote?.delete(remoteName(key))
    this.remote?.forget(key)
    this.tellForgotten(key)
  }

  /** Drops here what somebody else has forgotten. */
  forgotten(key: string): void {
    this.#forgetHere(key)
  }

  /**
   * Purges, here at once, and in all processes.
   * @returns whether the others have been told; where not, they are when the remote store is reached again
   */
  async purge(purge: Purge): Promise<boolean> {
    this.#apply(purge, 0)
    return this.remote === null || (await this.remote.purge(purge))
  }

  #apply(purge: Purge, id: number): void {
    this.purges.add(purge, id)
    // Only here can memory be given back at once; all else is found out when it is asked for.
    if (purge.target.what === 'everything' && !purge.soft) this.memory.clear()
  }

  #misplaced(): null {
    this.misplaced++
    return null
  }

  #forgetHere(key: string): void {
    this.memory.delete(key)
    this.#onForget(key)
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

/** It lasts a little longer than its variants, so that not each new one of them writes it anew. */
const SPARE_MS = 60_000

/** The fields that tell variants apart: those of the newest answer that names any (RFC 9111 section 4.1). */
function variantsWith(key: string, before: Variants | null, vary: readonly string[], untilMs: number): Variants {
  const spared = untilMs + SPARE_MS
  if (before === null) return { kind: 'variants', key, vary, stamp: newStamp(), untilMs: spared }
  const same = vary.length === 0 || vary.join() === before.vary.join()
  if (same && before.untilMs >= untilMs) return before
  return { ...before, vary: same ? before.vary : vary, untilMs: Math.max(spared, before.untilMs) }
}

/** Unlike that of any variants that lay under the key before. */
function newStamp(): string {
  return Math.floor(Math.random() * 36 ** 8).toString(36)
}

function variantKey(place: Place, variants: Variants): string {
  return variantName(place.key, variants, place.parts, place.selecting(variants.vary))
}

function variantName(key: string, { stamp }: Variants, parts: string, selected: string): string {
  return `${key}\nv:${stamp}${parts}\n${selected}`
}

/** Unlike the names under which the release before keeps entries, so that neither reads the other's. */
function remoteName(key: string): string {
  return `2\n${key}`
}
