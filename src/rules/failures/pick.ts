/**
 * Which server of an upstream takes the next exchange: a draw by weight among those that have less than their part under way.
 */

/**
 * Whether a server is asked: `up` is; `avoided` only where none is up; `due` has been left out long enough, and one request
 * finds out how it is, one that may be made again; `overdue` has waited so long for such a one that any will do; `drained` takes
 * nothing new.
 */
export type Standing = 'up' | 'due' | 'overdue' | 'avoided' | 'drained'

/** A server as it stands at the moment. */
export interface Candidate {
  readonly standing: Standing
  /** Exchanges under way. */
  readonly active: number
  /** Its share among the others, above 0: the table's weight, less while it starts slowly. */
  readonly weight: number
  readonly turn: Turn
}

/**
 * When a server is next: after an exponential time, in a clock that only picks move on. The earliest of several such times is a
 * draw by weight; a server that is passed over keeps its time, so that it gets what it has missed.
 */
export class Turn {
  /** When it was picked last; NaN before the first time. */
  #sinceAt = Number.NaN
  /** For a weight of 1. */
  #wait: number

  /** @param chance in [0, 1): when its first turn comes */
  constructor(chance: number) {
    this.#wait = waitOf(chance)
  }

  /** @param lead that it may have taken at most, in the time of the clock */
  at(now: number, weight: number, lead: number): number {
    if (Number.isNaN(this.#sinceAt)) this.#sinceAt = now
    return Math.max(now, Math.min(this.#sinceAt, now + lead) + this.#wait / weight)
  }

  taken(at: number, chance: number): void {
    this.#sinceAt = at
    this.#wait = waitOf(chance)
  }

  /** It was away: what it has missed is not made up for. */
  begin(): void {
    this.#sinceAt = Number.NaN
  }
}

function waitOf(chance: number): number {
  return -Math.log(1 - chance)
}

/** What is known of a server that has just failed the same exchange. */
export interface FailedBefore<C> {
  readonly candidate: C
  /** It may well take the request on another connection: its kept-alive one had just run out. */
  readonly maySucceed: boolean
}

/** Spreads the digits of `chance` that a draw of some per cent has not used: 0.03 of all must still reach every server. */
const SPREAD = 2 ** 30

/** So many exchanges of the least weight may a server have got too few or too many, and that is evened out later. */
const REMEMBERED = 32

/** The draws of one upstream. */
export class ServerDraw {
  /** The clock of the turns: it stands at the earliest. */
  #now = 0
  /** When the turn of the one found last comes, and the earliest turn that was found with it. */
  #found = 0
  #earliest = 0

  /**
   * Picks a server, and counts it as picked.
   * @param chance in [0, 1): when its next turn comes
   * @param failed is taken again only where nothing better is left
   * @param repeatable the request may be made again: it may be a probe
   * @returns null where all are drained
   */
  pick<C extends Candidate>(
    candidates: readonly C[],
    chance: number,
    failed: FailedBefore<C> | null,
    repeatable: boolean,
  ): C | null {
    const one = this.next(candidates, failed, repeatable)
    if (one === null) return null
    this.#now = this.#earliest
    one.turn.taken(this.#found, (chance * SPREAD) % 1)
    return one
  }

  /**
   * The server that `pick` would take. Where no server is up, all but the drained are tried as if they were.
   */
  next<C extends Candidate>(candidates: readonly C[], failed: FailedBefore<C> | null, repeatable: boolean): C | null {
    const except = failed?.candidate ?? null
    this.#found = this.#earliest = this.#now
    for (const candidate of candidates) {
      if (candidate !== except && isProbed(candidate.standing, repeatable)) return candidate
    }
    const best = this.#drawn(candidates, true, except)
    if (best !== null) return best
    if (failed?.maySucceed && failed.candidate.standing === 'up') return failed.candidate
    const avoided = this.#drawn(candidates, false, except)
    if (avoided !== null) return avoided
    return except === null || except.standing === 'drained' ? null : except
  }

  /**
   * Draws among those that have less under way than their part, this exchange counted. A slow server has that seldom, so that
   * load evens out; the draw is by weight alone, so that shares hold however little is under way.
   * @param up among those that are up, else among those that are left out
   */
  #drawn<C extends Candidate>(candidates: readonly C[], up: boolean, except: C | null): C | null {
    let active = 1
    let weights = 0
    let least = Number.POSITIVE_INFINITY
    for (let n = 0; n < candidates.length; n++) {
      const candidate = candidates[n] as C
      if (candidate === except || !isAmong(candidate.standing, up)) continue
      active += candidate.active
      weights += candidate.weight
      if (candidate.weight < least) least = candidate.weight
    }
    let best: C | null = null
    let bestAt = Number.POSITIVE_INFINITY
    let earliest = Number.POSITIVE_INFINITY
    const lead = REMEMBERED / least
    for (let n = 0; n < candidates.length; n++) {
      const candidate = candidates[n] as C
      if (candidate === except || !isAmong(candidate.standing, up)) continue
      const at = candidate.turn.at(this.#now, candidate.weight, lead)
      if (at < earliest) earliest = at
      if (at >= bestAt || candidate.active * weights >= active * candidate.weight) continue
      best = candidate
      bestAt = at
    }
    if (best === null) return null
    this.#found = bestAt
    this.#earliest = earliest
    return best
  }
}

function isProbed(standing: Standing, repeatable: boolean): boolean {
  return standing === 'overdue' || (standing === 'due' && repeatable)
}

function isAmong(standing: Standing, up: boolean): boolean {
  return standing === 'up' ? up : !up && standing !== 'drained'
}
