/**
 * One search for an answer that memory does not have, and all the exchanges that wait for it: ask the remote store, take
 * the lock or wait for who has it, then ask the upstream.
 */
import { evaluate, evaluateNothing } from '../../rules/caching/policy.ts'
import { isMadeFor } from '../../state/caching/content.ts'
import type { FillLock, FillOutcome } from '../../state/caching/remote.ts'
import type { StoredAnswer } from '../../state/caching/store.ts'
import { answerStored, HIT, STALE } from './deliver.ts'
import { Ask, type AskHost, type AskParts } from './fetch.ts'
import type { Visit, VisitHost } from './lookup.ts'

/** Another process's fill is waited for so long at a time: a little longer than the lease of its lock. */
const WAIT_MS = 6000
/** And for so long in all; then we go without the lock. */
const PATIENCE_MS = 10_000

/** Where flights are kept. */
export interface FlightHub {
  readonly parts: AskParts
  alone(visit: Visit): void
  /** The visit waits for another variant than this flight brings. */
  part(visit: Visit, flight: Flight): void
  fallBack(visit: Visit): void
  mark(visit: Visit, name: string): void
  unmark(visit: Visit, name: string): void
  shut(flight: Flight): void
  landed(flight: Flight): void
}

/** What a flight is for. */
export interface FlightTerms {
  /** The first who waits, or to whom the answer that is refreshed was served. */
  readonly visit: Visit
  /** What may be validated, or stand in for a failure. */
  readonly stored: StoredAnswer | null
  /** What it fetches: equal for all who may wait for it. */
  readonly name: string
  /** Others may wait for it. */
  readonly open: boolean
  /** What is stored is refreshed; nobody waits. */
  readonly background: boolean
}

/** A search, from the first who waits to the last who is answered. */
export class Flight implements AskHost, VisitHost {
  readonly #hub: FlightHub
  readonly #open: boolean
  readonly name: string
  readonly key: string
  readonly waiting = new Set<Visit>()
  /** Its place among those under way, or -1. */
  slot = -1
  /** Whose request the upstream gets. */
  #visit: Visit
  #stored: StoredAnswer | null
  #validate: boolean
  #ask: Ask | null = null
  #lock: FillLock | null = null
  #over = false
  background: boolean
  discarded = false

  constructor(hub: FlightHub, { visit, stored, name, open, background }: FlightTerms) {
    this.#hub = hub
    this.#visit = visit
    this.#stored = stored
    this.#validate = stored !== null
    this.#open = open
    this.name = name
    this.key = visit.key
    this.background = background
    if (!background) this.add(visit)
  }

  /** Begins with the remote store, where there is one worth asking. */
  start(): void {
    if (this.#over) return
    if (this.#hub.parts.tiers.remote?.usable) void this.#search()
    else if (!this.#refuseWithout(null)) this.ask()
  }

  /** Asks the upstream. */
  ask(): void {
    if (this.#over) return
    const stored = this.#stored !== null && isMadeFor(this.#stored.content.madeFor, this.#visit) ? this.#stored : null
    this.#ask = new Ask(this.#hub.parts, this, this.#visit, stored)
    this.#ask.start(this.#validate)
  }

  /** Whether one more may wait for it. */
  get isJoinable(): boolean {
    return !this.discarded && (this.#ask === null || this.#ask.current)
  }

  /** One more who waits for it. */
  add(visit: Visit): void {
    if (this.#ask !== null) {
      visit.wait(this)
      if (visit.ended || this.#ask.offer(visit)) return
    }
    this.waiting.add(visit)
    visit.wait(this)
  }

  /** What it brings is untrue by now. */
  discard(): void {
    this.discarded = true
    this.shut(false)
  }

  left(visit: Visit): void {
    if (!this.waiting.delete(visit)) this.#ask?.left(visit)
    if (this.background || this.waiting.size > 0 || this.#ask?.wanted) return
    this.#ask?.abort()
    if (!this.#over) this.over('failed')
  }

  alone(visit: Visit): void {
    this.#hub.alone(visit)
  }

  fallBack(visit: Visit): void {
    this.#hub.fallBack(visit)
  }

  shut(lasting: boolean): void {
    this.#hub.shut(this)
    if (lasting) this.#hub.mark(this.#visit, this.name)
  }

  shareable(): void {
    this.#hub.unmark(this.#visit, this.name)
  }

  /** Nothing is searched or stored any more; an answer may still be on its way to those who read it. */
  get isOver(): boolean {
    return this.#over
  }

  over(outcome: FillOutcome): void {
    this.#lock?.release(outcome)
    this.#lock = null
    this.#over = true
    this.#hub.landed(this)
  }

  /** Looks into the remote store, and makes sure that one process at a time asks the upstream. */
  async #search(): Promise<void> {
    const { tiers, now } = this.#hub.parts
    const found = await tiers.seek(this.#visit, now)
    if (this.#over || this.#answerFrom(found)) return
    if (this.#open) await this.#claim()
    else this.ask()
  }

  async #claim(): Promise<void> {
    const { tiers, counters, now } = this.#hub.parts
    const remote = tiers.remote!
    const untilMs = now() + PATIENCE_MS
    while (now() < untilMs) {
      const wait = remote.awaitFill(this.name, WAIT_MS)
      // Sent together: once we have the lock, what its last holder stored is seen by the second look.
      const [lock, found] = await Promise.all([remote.lock(this.name), tiers.seek(this.#visit, now)])
      if (typeof lock !== 'string') this.#lock = lock
      if (this.#over) {
        wait.cancel()
        this.#lock?.release('failed')
        this.#lock = null
        return
      }
      if (this.#answerFrom(found) || lock !== 'held' || this.background) {
        wait.cancel()
        if (this.#over) return
        if (lock === 'held') this.over('failed')
        else this.ask()
        return
      }
      counters.waits++
      const outcome = await wait.outcome
      if (this.#over) return
      if (outcome === 'uncacheable') {
        this.#goAlone()
        return
      }
    }
    this.ask()
  }

  /** Another process has learned that there is nothing to wait for. */
  #goAlone(): void {
    this.shut(true)
    const visits = [...this.waiting]
    this.waiting.clear()
    this.over('uncacheable')
    for (const visit of visits) this.#hub.alone(visit)
  }

  /**
   * Answers those who wait from what the remote store has.
   * @returns whether the search is over
   */
  #answerFrom(found: StoredAnswer | null): boolean {
    if (found === null) return this.#refuseWithout(null)
    const nowMs = this.#hub.parts.now()
    for (const visit of [...this.waiting]) {
      const { kind } = evaluate(visit.asked, found.meta, nowMs)
      if (kind !== 'fresh' && kind !== 'stale' && kind !== 'stale-while-revalidate') continue
      if (!answerStored(visit, found, kind === 'fresh' ? HIT : STALE, nowMs)) continue
      this.waiting.delete(visit)
      this.background ||= kind === 'stale-while-revalidate'
      visit.done()
    }
    this.#partFrom(found)
    return this.#refuseWithout(found)
  }

  /** It was made for some of those who wait: the others look for their own variant, which has a name by now. */
  #partFrom(found: StoredAnswer): void {
    for (const visit of [...this.waiting]) {
      if (visit === this.#visit || isMadeFor(found.content.madeFor, visit)) continue
      this.waiting.delete(visit)
      this.#hub.part(visit, this)
    }
  }

  /**
   * Refuses those who take only what is stored, and settles on what is left to do.
   * @returns whether that is nothing
   */
  #refuseWithout(found: StoredAnswer | null): boolean {
    const nowMs = this.#hub.parts.now()
    for (const visit of [...this.waiting]) {
      const stored = found ?? this.#stored
      const verdict =
        stored === null || !isMadeFor(stored.content.madeFor, visit)
          ? evaluateNothing(visit.asked)
          : evaluate(visit.asked, stored.meta, nowMs)
      if (verdict?.kind !== 'only-if-cached') continue
      this.waiting.delete(visit)
      visit.fail('only-if-cached', null)
    }
    const [first] = this.waiting
    if (first === undefined && (!this.background || (found !== null && nowMs < found.meta.freshUntilMs))) {
      this.over('stored')
      return true
    }
    if (first !== undefined) this.#visit = first
    if (found !== null) {
      const kind = first === undefined ? 'validate' : evaluate(first.asked, found.meta, nowMs).kind
      this.#validate = kind === 'validate'
      this.#stored = kind === 'validate' ? found : this.#stored
    }
    return false
  }
}
