/**
 * Interleaved rounds: every entrant is loaded for some seconds in turn, the order moves on by one each round, and the CPU
 * time that its processes took is divided by what they served.
 */
import { coreBusyMicros, cpuMicros } from './procfs.ts'

/** Something that can be loaded and measured. */
export interface Entrant {
  /** Its name in the tables. */
  readonly label: string
  readonly port: number
  /** The process whose CPU time counts, with its descendants; null for the baseline without a proxy. */
  readonly pid: number | null
}

/** What one run of a load measured. */
export interface Measured {
  /** Answers (or messages) that arrived whole. */
  readonly units: number
  readonly perSecond: number
  readonly p50Micros: number
  readonly p99Micros: number
  /** Everything that went wrong, by kind: `status`, `read`, `timeout`...; empty when all was well. */
  readonly errors: Readonly<Record<string, number>>
}

/** One entrant in one round. */
export interface Round extends Measured {
  /** CPU time of the entrant per unit, or null for the baseline. */
  readonly cpuMicros: number | null
  /** The part of the round (0 to 1) for which the proxy's core was busy with something that is not measured. */
  readonly disturbed: number
}

/** All rounds of one entrant. */
export interface Series {
  readonly label: string
  readonly rounds: readonly Round[]
  /** One line for each kind of error that came up, warm-up included. */
  readonly failures: readonly string[]
}

/** How often and how long. */
export interface Timing {
  readonly rounds: number
  readonly seconds: number
  /** The core that the entrants have for themselves. */
  readonly proxyCore: number
  /** Called before each run, for a progress line. */
  readonly progress: (what: string) => void
}

const WARM_UP_SECONDS = 2

/** Warms every entrant up, then measures them in interleaved rounds. Throws where an entrant's process ends. */
export async function interleave(
  entrants: readonly Entrant[],
  timing: Timing,
  load: (entrant: Entrant, seconds: number) => Promise<Measured>,
): Promise<Series[]> {
  const rounds = new Map<Entrant, Round[]>(entrants.map((entrant) => [entrant, []]))
  const failures = new Map<Entrant, Set<string>>(entrants.map((entrant) => [entrant, new Set()]))
  const note = (entrant: Entrant, measured: Measured): void => {
    for (const problem of problemsOf(measured)) failures.get(entrant)?.add(`${entrant.label}: ${problem}`)
  }
  for (const entrant of entrants) {
    timing.progress(`warming up ${entrant.label}`)
    note(entrant, await load(entrant, WARM_UP_SECONDS))
  }
  for (let round = 0; round < timing.rounds; round++) {
    for (const entrant of rotated(entrants, round)) {
      timing.progress(`round ${round + 1} of ${timing.rounds}: ${entrant.label}`)
      const measured = await measureOnce(entrant, timing, load)
      note(entrant, measured)
      rounds.get(entrant)?.push(measured)
    }
  }
  return entrants.map((entrant) => ({
    label: entrant.label,
    rounds: rounds.get(entrant) ?? [],
    failures: [...(failures.get(entrant) ?? [])],
  }))
}

/** Loads an entrant once, with its CPU time and what else went on on the proxy's core. */
export async function measureOnce(
  entrant: Entrant,
  { seconds, proxyCore }: Pick<Timing, 'seconds' | 'proxyCore'>,
  load: (entrant: Entrant, seconds: number) => Promise<Measured>,
): Promise<Round> {
  const used = (): number => (entrant.pid === null ? 0 : cpuMicros(entrant.pid))
  const [startMs, coreBefore, usedBefore] = [performance.now(), coreBusyMicros(proxyCore), used()]
  const measured = await load(entrant, seconds)
  const own = used() - usedBefore
  const foreign = coreBusyMicros(proxyCore) - coreBefore - own
  const elapsedMicros = (performance.now() - startMs) * 1000
  return {
    ...measured,
    cpuMicros: entrant.pid === null ? null : own / Math.max(1, measured.units),
    disturbed: Math.max(0, foreign / elapsedMicros),
  }
}

/** A remark where other work on the proxy's core took more than a twentieth of a round; none where it was quiet. */
export function disturbances(series: ReadonlyArray<Pick<Series, 'rounds'>>): string[] {
  const worst = Math.max(0, ...series.flatMap(({ rounds }) => rounds.map((round) => round.disturbed)))
  if (worst <= 0.05) return []
  const percent = Math.round(worst * 100)
  return [`Not a quiet machine: other processes took up to ${percent} % of the proxy's core during a round.`]
}

function problemsOf(measured: Measured): string[] {
  const problems = Object.entries(measured.errors).map(([kind, count]) => `${count} ${kind} errors in a run`)
  if (measured.units === 0) problems.push('a run without one answer')
  return problems
}

function rotated<T>(items: readonly T[], by: number): T[] {
  const start = by % Math.max(1, items.length)
  return [...items.slice(start), ...items.slice(0, start)]
}
