/**
 * The purges that this process knows. Each stored answer is compared with each purge once, when it is next asked for, so
 * that a purge costs the same whatever it covers.
 */
import { asStale } from '../../rules/caching/policy.ts'
import { isPurged, type Purge, type PurgePlace } from '../../rules/caching/purge.ts'
import type { StoredAnswer } from './store.ts'

/** So many are kept; what is older than all of them counts as purged. */
export const MAX_PURGES = 1000

interface Entry {
  readonly purge: Purge
  /** Counts up from 1 in this process. */
  readonly ordinal: number
  /** Its number among those that all instances share, or 0 where there are no others to share it with. */
  readonly id: number
}

/** What purges leave of a stored answer: all of it, a stale one, or nothing. */
export type Remains = StoredAnswer | null

/** The purges, oldest first. */
export class PurgeLog {
  /** By target and hardness: a repeated purge takes the place of the earlier one. */
  readonly #entries = new Map<string, Entry>()
  #forgottenOrdinal = 0
  #forgottenId = 0
  /** Purges so far: the ordinal of the last one. */
  count = 0
  /** Id of the last shared purge. The generation of what is asked for now. */
  generation = 0

  /** @param id of a shared purge, larger than all before, or 0 */
  add(purge: Purge, id: number): void {
    const key = `${purge.soft ? 'soft' : 'hard'} ${JSON.stringify(purge.target)}`
    this.#entries.delete(key)
    this.count++
    if (id > this.generation) this.generation = id
    this.#entries.set(key, { purge, ordinal: this.count, id })
    if (this.#entries.size <= MAX_PURGES) return
    const [oldest] = this.#entries as Iterable<[string, Entry]>
    const [oldestKey, { ordinal, id: oldestId }] = oldest as [string, Entry]
    this.#entries.delete(oldestKey)
    this.#forgottenOrdinal = ordinal
    this.forget(oldestId)
  }

  /** Whatever was asked for before shared purge `id` counts as purged: which ones came before it is not known. */
  forget(id: number): void {
    if (id > this.#forgottenId) this.#forgottenId = id
  }

  /** What this process's purges leave of an answer that lies in its memory. */
  ofMemory(answer: StoredAnswer, place: PurgePlace): Remains {
    if (answer.checked < this.#forgottenOrdinal) return null
    return this.#compare(answer, place, (entry) => entry.ordinal > answer.checked)
  }

  /** What the shared purges leave of an answer that another process may have stored. */
  ofShared(answer: StoredAnswer, place: PurgePlace): Remains {
    if (answer.generation < this.#forgottenId) return null
    return this.#compare(answer, place, (entry) => entry.id > answer.generation)
  }

  #compare(answer: StoredAnswer, place: PurgePlace, isNewer: (entry: Entry) => boolean): Remains {
    let remains = answer
    for (const entry of this.#entries.values()) {
      if (!isNewer(entry) || !isPurged(entry.purge.target, place, answer.rawHeaders)) continue
      if (!entry.purge.soft) return null
      remains = { ...remains, meta: asStale(remains.meta, entry.purge.atMs) }
    }
    remains.checked = this.count
    return remains
  }
}
