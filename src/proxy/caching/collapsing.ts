/**
 * The flights of one process: who waits for whom, and who better does not.
 */
import { evaluate, type Verdict } from '../../rules/caching/policy.ts'
import { isPersonal } from '../../rules/caching/resource.ts'
import type { StoredAnswer } from '../../state/caching/store.ts'
import type { AskParts } from './fetch.ts'
import type { Visit } from './lookup.ts'
import { Flight, type FlightHub, type FlightTerms } from './miss.ts'
import { FlightRegister } from './pending-misses.ts'

/** For so long nobody waits for an answer that turned out not to be shareable (hit-for-miss). */
const MARK_MS = 120_000
const MAX_MARKS = 10_000

/** What flights need of the process. */
export interface FlightsParts extends AskParts {
  /** Takes a visit's exchange through the cache once more, with its decision changed to the fallback's side. */
  fallBack(visit: Visit): void
}

/** All flights under way. */
export class Flights implements FlightHub {
  readonly parts: FlightsParts
  readonly #register = new FlightRegister()
  /** What can't be shared: epoch milliseconds until which nobody waits for it. */
  readonly #marks = new Map<string, number>()

  constructor(parts: FlightsParts) {
    this.parts = parts
    parts.tiers.onForget((key) => this.#discard(key))
  }

  /** Flights under way. */
  get size(): number {
    return this.#register.size
  }

  /**
   * Finds or fetches the answer to a visit that memory has none for.
   * @param stored what memory has, and what it may do
   */
  join(visit: Visit, stored: StoredAnswer | null, verdict: Verdict | null): void {
    const validated = verdict?.kind === 'validate' ? stored : null
    const name = this.#nameOf(visit)
    if (!isShareable(visit)) {
      this.#start({ visit, stored: validated, name, open: false, background: false })
      return
    }
    const flight = this.#register.find(name)
    if (flight?.isJoinable) flight.add(visit)
    else if (this.#isMarked(markOf(visit, name))) {
      this.parts.counters.hitForMiss++
      this.alone(visit)
    } else {
      // What the client's own conditions may be answered with is of use to nobody else.
      const open = !visit.hasConditions || (validated !== null && hasValidator(validated))
      this.#start({ visit, stored: validated, name, open, background: false })
    }
  }

  alone(visit: Visit): void {
    const nowMs = this.parts.now()
    const found = this.parts.tiers.find(visit, nowMs)
    const stored = found !== null && evaluate(visit.asked, found.meta, nowMs).kind === 'validate' ? found : null
    const flight = new Flight(this, { visit, stored, name: this.#nameOf(visit), open: false, background: false })
    if (flight.isOver) return
    this.#register.add(flight, false)
    flight.ask()
  }

  part(visit: Visit, flight: Flight): void {
    // Where its name is the same it would come back to where it is.
    if (this.#nameOf(visit) === flight.name) this.alone(visit)
    else this.join(visit, null, null)
  }

  fallBack(visit: Visit): void {
    this.parts.fallBack(visit)
  }

  /** Refreshes a stored answer behind the visit that it has just been served to, unless that is under way already. */
  refresh(visit: Visit, stored: StoredAnswer): void {
    const name = this.#nameOf(visit)
    if (this.#register.find(name) !== null || this.parts.now() < stored.refreshAfterMs) return
    this.parts.counters.refreshes++
    this.#start({ visit, stored, name, open: true, background: true })
  }

  /** Nobody waits for what this visit asks for any more, for a while. */
  mark(visit: Visit, name: string): void {
    const mark = markOf(visit, name)
    this.#marks.delete(mark)
    this.#marks.set(mark, this.parts.now() + MARK_MS)
    if (this.#marks.size > MAX_MARKS) this.#marks.delete(this.#marks.keys().next().value as string)
  }

  /** It can be shared after all. */
  unmark(visit: Visit, name: string): void {
    this.#marks.delete(markOf(visit, name))
  }

  /** Nobody joins a flight any more. */
  shut(flight: Flight): void {
    this.#register.shut(flight)
  }

  /** A flight is over. */
  landed(flight: Flight): void {
    this.#register.remove(flight)
  }

  #start(terms: FlightTerms): void {
    const flight = new Flight(this, terms)
    // Its client may have gone already.
    if (flight.isOver) return
    this.#register.add(flight, terms.open)
    flight.start()
  }

  /** What lies under a key, or is about to, has become untrue. */
  #discard(key: string): void {
    for (const flight of this.#register.under(key)) flight.discard()
  }

  #isMarked(name: string): boolean {
    const untilMs = this.#marks.get(name)
    if (untilMs === undefined) return false
    if (this.parts.now() < untilMs) return true
    this.#marks.delete(name)
    return false
  }

  /**
   * What a visit waits for: key, what the route's rules take from its fields, and the variant, as far as it is known.
   * Requests with Authorization wait for each other only: what is made for one may well be for nobody else.
   */
  #nameOf(visit: Visit): string {
    const { key, print, parts, upstream, exchange, asked } = visit
    const entry = this.parts.tiers.memory.get(key)
    const variant = entry?.kind === 'variants' ? `\n${visit.selecting(entry.vary)}` : ''
    // Sides that share their answers fail each on its own.
    const side = upstream === '' ? `\ns:${exchange.decision.upstream}` : ''
    return `${key}\n${print}${side}${parts}${variant}${asked.authorization ? '\na' : ''}`
  }
}

/** What somebody who is known gets may well be for nobody else; that says nothing about what strangers get. */
function markOf({ fields }: Visit, name: string): string {
  return isPersonal({ rawHeaders: fields }) ? `${name}\np` : name
}

function hasValidator({ meta }: StoredAnswer): boolean {
  return meta.etag !== null || meta.lastModified !== null
}

/** Whether a visit may wait for another one's answer, and others for its own. */
function isShareable(visit: Visit): boolean {
  const { asked } = visit
  if (visit.isHead || asked.range !== null || asked.originPrecondition) return false
  const { directives } = asked
  return directives === null || !(directives.noCache || directives.noStore || directives.onlyIfCached)
}
