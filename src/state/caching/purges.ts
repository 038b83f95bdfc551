/**
 * The purges that this process knows, those that unsafe requests have ordered among them. Each stored answer is compared with
 * each purge once, when it is next asked for, so that a purge costs the same whatever it covers.
 *
 * Two orders count. Answers in this memory are compared with the purges that were heard of since: by ordinal. Answers that
 * another process may have stored are compared with those that come later in the shared log than the last one that process
 * had read when it sent its request: by position.
 */
import { asStale } from '../../rules/caching/policy.ts'
import {
  isPurged,
  keyedForm,
  type Purge,
  type PurgePlace,
  type PurgeTarget,
  pathOf,
  tagsOf,
  urlForm,
} from '../../rules/caching/purge.ts'
import type { KeyRules } from '../../rules/table/table.ts'
import { ForgottenPurges } from './forgotten.ts'
import { LogOrder, type Position, sequenceOf } from './log-order.ts'
import type { StoredAnswer } from './store.ts'

/** So many are kept one by one. */
export const MAX_PURGES = 20_000

/** More than this that could not be shared become one of everything. */
const MAX_UNSHARED = 10_000

/** Of the purges that were overtaken by a like one, so many are still known by their ids. */
const MAX_OVERTAKEN = 10_000

/** A purge, and where it stands. */
export interface KnownPurge {
  readonly purge: Purge
  /** Counts up from 1 in this process. */
  readonly ordinal: number
  /** Its number in the shared log; infinite where that does not have it, so that it comes after all that can be read there; -1 where it counts no more. */
  sequence: number
}

/** What purges leave of a stored answer: all of it, a stale one, or nothing. */
export type Remains = StoredAnswer | null

/** How far behind what an answer has seen a purge comes; it counts where that is above 0. */
type Lead = (known: KnownPurge) => number

/** The purges, oldest first. */
export class PurgeLog {
  readonly #shares: boolean
  readonly #onEverything: () => void
  /** By target and hardness: a repeated purge takes the place of the earlier one. */
  readonly #known = new Map<string, KnownPurge>()
  readonly #byId = new Map<string, KnownPurge>()
  /** Ids of purges whose place a like one has taken. */
  readonly #overtaken = new Set<string>()
  /** Those of URLs, by their form; and by their form under rules for keys, where a route has any. */
  readonly #urls = new PurgeIndex((target) => (target.what === 'url' ? urlForm(target.url) : null))
  readonly #keyedUrls = new Map<KeyRules, PurgeIndex>()
  readonly #tags = new PurgeIndex((target) => (target.what === 'tag' ? target.tag : null))
  /** All others, by ordinal; and those of them that the shared log has, by sequence. */
  #wide: KnownPurge[] = []
  #wideShared: KnownPurge[] = []
  /** No purge that is known has a greater number in the shared log. */
  #newestSequence = -1
  readonly #unshared = new Set<KnownPurge>()
  readonly #order = new LogOrder()
  /** What is older than all that is remembered, by ordinal and by sequence. */
  readonly #forgotten = new ForgottenPurges()
  readonly #forgottenShared = new ForgottenPurges()
  /** Answers that have not been compared since then are of no use: what came before is not known. */
  #lostOrdinal = 0
  /** Purges so far: the ordinal of the last one. */
  count = 0

  /**
   * @param shares whether there is a log to share them in
   * @param onEverything called where nothing that is stored is of use any more
   */
  constructor(shares: boolean, onEverything: () => void = () => {}) {
    this.#shares = shares
    this.#onEverything = onEverything
  }

  /** How far the shared log has been read. What is asked for now is stored with it. */
  get position(): Position {
    return this.#order.last
  }

  /** The same as a number, for the figures. */
  get generation(): number {
    return Math.max(this.#order.end, 0)
  }

  /** Those that the shared log does not have. */
  get unshared(): ReadonlySet<KnownPurge> {
    return this.#unshared
  }

  /**
   * One more purge; from now on nothing that it covers is served.
   * @returns false where it was known already
   */
  add(purge: Purge): boolean {
    if (this.#byId.has(purge.id) || this.#overtaken.has(purge.id)) return false
    this.#put(purge, purge)
    if (this.#unshared.size > MAX_UNSHARED) this.#becomeOne(purge)
    return true
  }

  /** @param named by whose id it goes on to be known; it covers the same */
  #put(purge: Purge, named: Purge): void {
    const key = keyOf(purge)
    const before = this.#known.get(key)
    if (before !== undefined) this.#remove(key, before)
    for (const { id } of [purge, before?.purge ?? purge]) if (id !== named.id) this.#overtake(id)
    this.count++
    const known: KnownPurge = { purge: named, ordinal: this.count, sequence: Number.POSITIVE_INFINITY }
    this.#known.set(key, known)
    this.#byId.set(named.id, known)
    if (this.#shares) this.#unshared.add(known)
    if (isWide(purge.target)) this.#wide.push(known)
    for (const index of [this.#urls, this.#tags, ...this.#keyedUrls.values()]) index.add(known)
    // Only here can memory be given back at once; all else is found out when it is asked for.
    if (purge.target.what === 'everything' && !purge.soft) this.#onEverything()
    if (this.#known.size > MAX_PURGES) this.#forgetOldest()
  }

  /**
   * The next record of the shared log.
   * @param sequence its number
   * @param purge null where it is none that can be read
   */
  read(position: Position, sequence: number, purge: Purge | null): void {
    const { end } = this.#order
    // A log that began before logs had a number 0 lacks nothing.
    if (end === -1 && sequence === 1) this.#order.begin(1)
    else if (sequence !== end + 1) this.#miss(sequence)
    this.#order.append(position)
    if (purge === null) return
    if (!this.#byId.has(purge.id) && !this.#overtaken.has(purge.id)) this.#hear(purge)
    const known = this.#byId.get(purge.id)
    if (known === undefined) return
    this.#unshared.delete(known)
    known.sequence = sequence
    this.#newestSequence = Math.max(this.#newestSequence, sequence)
    if (isWide(purge.target)) this.#wideShared.push(known)
  }

  /**
   * A purge of somebody else. A like one that was ordered here, and that the log lacks, may have been ordered later than this one was
   * written: it goes on to lack there.
   */
  #hear(purge: Purge): void {
    const like = this.#known.get(keyOf(purge))
    this.#put(purge, like !== undefined && this.#unshared.has(like) ? like.purge : purge)
  }

  /** Whether a position may come behind all that was read so far. */
  isAhead(position: Position): boolean {
    return (sequenceOf(position) ?? 0) > this.#order.end
  }

  /** Whether a record is where it was read. */
  has(position: Position): boolean {
    return this.#order.find(position) !== -1
  }

  /** The shared log ends behind the record of that number, or is another one (-1): what was read after it, it has to be given again. */
  cut(sequence: number): void {
    this.#order.cut(sequence)
    if (sequence === -1) this.#forgottenShared.clear()
    this.#newestSequence = Math.min(this.#newestSequence, sequence)
    this.#wideShared = this.#wideShared.filter((known) => known.sequence <= sequence)
    for (const known of this.#known.values()) {
      if (known.sequence <= sequence || known.sequence === Number.POSITIVE_INFINITY) continue
      known.sequence = Number.POSITIVE_INFINITY
      this.#unshared.add(known)
    }
  }

  /** What this process's purges leave of an answer that lies in its memory. */
  ofMemory(answer: StoredAnswer, place: PurgePlace): Remains {
    if (answer.checked < this.#lostOrdinal) return null
    if (this.#forgotten.mayCover(place, answer.rawHeaders, answer.checked)) return null
    return this.#compare(answer, place, this.#wide, ({ ordinal }) => ordinal - answer.checked)
  }

  /** What the shared purges leave of an answer that another process may have stored. */
  ofShared(answer: StoredAnswer, place: PurgePlace): Remains {
    const seen = this.#order.find(answer.position)
    if (seen === -1 || this.#forgottenShared.mayCover(place, answer.rawHeaders, seen)) return null
    if (this.#unshared.size === 0 && this.#newestSequence <= seen) {
      answer.checked = this.count
      return answer
    }
    let wide = this.#wideShared
    if (this.#unshared.size > 0) {
      wide = [...wide, ...[...this.#unshared].filter(({ purge }) => isWide(purge.target))]
    }
    return this.#compare(answer, place, wide, ({ sequence }) => sequence - seen)
  }

  /** Whether a purge that came behind the one of this ordinal may cover what is being fetched for a place. */
  touches(place: PurgePlace, ordinal: number): boolean {
    if (ordinal === this.count) return false
    if (ordinal < this.#lostOrdinal || this.#forgotten.mayCover(place, [], ordinal)) return true
    const newer = this.#newer(place, [], this.#wide, (known) => known.ordinal - ordinal)
    // Its tags are not known before it comes.
    return newer.length > 0 || (place.settings.tags !== null && this.#tags.newest > ordinal)
  }

  #compare(answer: StoredAnswer, place: PurgePlace, wide: readonly KnownPurge[], lead: Lead): Remains {
    let remains = answer
    for (const { purge } of this.#newer(place, answer.rawHeaders, wide, lead)) {
      if (!purge.soft) return null
      remains = { ...remains, meta: asStale(remains.meta, purge.atMs) }
    }
    remains.checked = this.count
    return remains
  }

  /** The purges that cover an answer and have come behind what it has seen. @param wide in the order that `lead` measures */
  #newer(place: PurgePlace, rawHeaders: readonly string[], wide: readonly KnownPurge[], lead: Lead): KnownPurge[] {
    const { key, tags } = place.settings
    const stored = urlForm(place.url)
    const found = [...this.#urls.find(stored), ...this.#urls.find(pathOf(stored))]
    if (key !== null) {
      const index = this.#keyedIndex(key)
      found.push(...index.find(stored), ...index.find(pathOf(stored)))
    }
    for (const tag of tagsOf(rawHeaders, tags)) found.push(...this.#tags.find(tag))
    for (let i = wide.length - 1; i >= 0 && lead(wide[i]!) > 0; i--) {
      if (isPurged(wide[i]!.purge.target, place, rawHeaders)) found.push(wide[i]!)
    }
    return found.filter((known) => lead(known) > 0)
  }

  #keyedIndex(rules: KeyRules): PurgeIndex {
    const known = this.#keyedUrls.get(rules)
    if (known !== undefined) return known
    // Each edit of the table brings new ones.
    if (this.#keyedUrls.size >= MAX_KEYED) this.#keyedUrls.clear()
    const index = new PurgeIndex((target) => (target.what === 'url' ? keyedForm(target.url, rules) : null))
    for (const one of this.#known.values()) index.add(one)
    this.#keyedUrls.set(rules, index)
    return index
  }

  /** A like one has taken its place. */
  #overtake(id: string): void {
    this.#overtaken.add(id)
    if (this.#overtaken.size > MAX_OVERTAKEN) this.#overtaken.delete(this.#overtaken.values().next().value as string)
  }

  #remove(key: string, known: KnownPurge): void {
    this.#known.delete(key)
    this.#byId.delete(known.purge.id)
    this.#unshared.delete(known)
    for (const index of [this.#urls, this.#tags, ...this.#keyedUrls.values()]) index.remove(known)
    if (!isWide(known.purge.target)) return
    this.#wide = this.#wide.filter((other) => other !== known)
    this.#wideShared = this.#wideShared.filter((other) => other !== known)
  }

  #forgetOldest(): void {
    const [oldest] = this.#known as Iterable<[string, KnownPurge]>
    const [key, known] = oldest as [string, KnownPurge]
    this.#remove(key, known)
    this.#forgotten.add(known.purge.target, known.ordinal)
    if (known.sequence !== Number.POSITIVE_INFINITY) this.#forgottenShared.add(known.purge.target, known.sequence)
  }

  /** More than anybody could tell apart later: one that covers them all, for others. What is here has been compared with each. */
  #becomeOne({ id, atMs }: Purge): void {
    const target = { what: 'everything' } as const
    const purge = { id: `${id}*`, target, soft: false, atMs }
    const known: KnownPurge = { purge, ordinal: 0, sequence: Number.POSITIVE_INFINITY }
    // Those it stands for come before it in the log, so to speak: what comes after it is not theirs.
    for (const one of this.#unshared) one.sequence = -1
    this.#unshared.clear()
    this.#unshared.add(known)
    const before = this.#known.get(FOR_OTHERS)
    if (before !== undefined) this.#remove(FOR_OTHERS, before)
    this.#known.set(FOR_OTHERS, known)
    this.#byId.set(purge.id, known)
  }

  /** Records before `sequence` can't be read any more: whatever they may cover counts as purged. */
  #miss(sequence: number): void {
    this.#order.begin(sequence)
    this.#forgottenShared.clear()
    this.#wideShared = []
    // Whoever is to judge by them has nothing left that is older.
    for (const known of this.#known.values()) if (known.sequence !== Number.POSITIVE_INFINITY) known.sequence = -1
    this.count++
    this.#lostOrdinal = this.count
    this.#onEverything()
  }
}

/** The place of a purge that counts in the shared log only. No target is written so. */
const FOR_OTHERS = 'for others'

/** Routes with different rules for their keys, of a few tables. */
const MAX_KEYED = 100

/** Equal for purges that do the same. */
function keyOf({ target, soft }: Purge): string {
  return `${soft ? 'soft' : 'hard'} ${JSON.stringify(target)}`
}

/** Whether it has to be looked at by itself: the others are found by what they cover. */
function isWide({ what }: PurgeTarget): boolean {
  return what !== 'url' && what !== 'tag'
}

const NONE: readonly KnownPurge[] = []

/** Purges by what they cover. */
class PurgeIndex {
  readonly #nameOf: (target: PurgeTarget) => string | null
  readonly #byName = new Map<string, KnownPurge[]>()
  /** Ordinal of the last one in it. */
  newest = 0

  /** @param nameOf null for what is not in it */
  constructor(nameOf: (target: PurgeTarget) => string | null) {
    this.#nameOf = nameOf
  }

  find(name: string): readonly KnownPurge[] {
    return this.#byName.get(name) ?? NONE
  }

  add(known: KnownPurge): void {
    const name = this.#nameOf(known.purge.target)
    if (name === null) return
    this.newest = known.ordinal
    const here = this.#byName.get(name)
    if (here === undefined) this.#byName.set(name, [known])
    else here.push(known)
  }

  remove(known: KnownPurge): void {
    const name = this.#nameOf(known.purge.target)
    const here = name === null ? undefined : this.#byName.get(name)
    if (name === null || here === undefined) return
    const left = here.filter((other) => other !== known)
    if (left.length === 0) this.#byName.delete(name)
    else this.#byName.set(name, left)
  }
}
