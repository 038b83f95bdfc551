/**
 * Which server of an upstream takes the next exchange: the one with the fewest under way for its weight.
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
}

/** What is known of a server that has just failed the same exchange. */
export interface FailedBefore<C> {
  readonly candidate: C
  /** It may well take the request on another connection: its kept-alive one had just run out. */
  readonly maySucceed: boolean
}

/** Spreads the digits of `chance` that a draw of some per cent has not used: 0.03 of all must still reach every server. */
const SPREAD = 2 ** 30

/**
 * Picks by weighted least outstanding exchanges. Where several have as few, `chance` picks among them by their weights, so that
 * an upstream with little to do is used in proportion too.
 *
 * Where no server is up, all but the drained are tried as if they were.
 * @param chance in [0, 1)
 * @param failed is taken again only where nothing better is left
 * @param repeatable the request may be made again: it may be a probe
 * @returns null where all are drained
 */
export function pickServer<C extends Candidate>(
  candidates: readonly C[],
  chance: number,
  failed: FailedBefore<C> | null,
  repeatable: boolean,
): C | null {
  const except = failed?.candidate ?? null
  for (const candidate of candidates) {
    if (candidate !== except && isProbed(candidate.standing, repeatable)) return candidate
  }
  const spread = (chance * SPREAD) % 1
  const best = leastOutstanding(candidates, true, except, spread)
  if (best !== null) return best
  if (failed?.maySucceed && failed.candidate.standing === 'up') return failed.candidate
  const avoided = leastOutstanding(candidates, false, except, spread)
  if (avoided !== null) return avoided
  return except === null || except.standing === 'drained' ? null : except
}

function isProbed(standing: Standing, repeatable: boolean): boolean {
  return standing === 'overdue' || (standing === 'due' && repeatable)
}

/** @param up among those that are up, else among those that are left out */
function leastOutstanding<C extends Candidate>(
  candidates: readonly C[],
  up: boolean,
  except: C | null,
  chance: number,
): C | null {
  let best: C | null = null
  let least = Number.POSITIVE_INFINITY
  let weights = 0
  for (let n = 0; n < candidates.length; n++) {
    const candidate = candidates[n] as C
    if (candidate === except || !isAmong(candidate.standing, up)) continue
    const load = candidate.active / candidate.weight
    if (load > least) continue
    if (load < least) weights = 0
    best = candidate
    least = load
    weights += candidate.weight
  }
  if (best === null || weights === best.weight) return best
  let left = chance * weights
  for (let n = 0; n < candidates.length; n++) {
    const candidate = candidates[n] as C
    if (candidate === except || !isAmong(candidate.standing, up) || candidate.active / candidate.weight !== least)
      continue
    left -= candidate.weight
    if (left < 0) return candidate
  }
  return best
}

function isAmong(standing: Standing, up: boolean): boolean {
  return standing === 'up' ? up : !up && standing !== 'drained'
}
