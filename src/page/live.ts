/**
 * What moves: the routes and their figures, as the stream of the API tells them.
 */
import type { LiveFigures, LiveLine, LiveRow, LiveSide, LiveSplice } from '../answers/live.ts'
import { ApiError, readLines } from './api.ts'
import { onUnseen, whenSeen } from './seen.ts'

/** A look at a route, for curves. */
export interface Point {
  readonly atMs: number
  readonly percent: number
  readonly figures: LiveFigures
}

/** Between two points of a route. */
const POINT_MS = 2_000
/** Points that are kept of a route: a quarter of an hour. */
const MAX_POINTS = 450
/** Routes that points are kept of, the first that have requests: a large table would fill the tab's memory. */
const MAX_DRAWN = 100
/** Without a line for so long the connection is taken for dead. */
const SILENCE_MS = 10_000
const RETRY_MS = 1_000
/** So long without being seen, and the stream is let go. */
const UNSEEN_MS = 3_000

export type Connection = 'connecting' | 'live' | 'lost' | 'token'

/** The state of the page that is live. One, for all views. */
export class Live {
  connection: Connection = 'connecting'
  problem = ''
  revision = 0
  /** Another one with each revision, and each table that comes: a proxy that was started again may have another as the same revision. */
  edition = 0
  default = ''
  rows: readonly LiveRow[] = []
  unclaimed: LiveFigures | null = null
  readonly figures = new Map<string, LiveFigures>()
  readonly #points = new Map<string, Point[]>()
  readonly #listeners = new Set<() => void>()
  #controller: AbortController | null = null
  /** How far the clock of the server is ahead of the browser's. */
  #aheadMs = 0

  /** @returns what ends it */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** What a route has done since the page was opened, for curves. */
  pointsOf(route: string): readonly Point[] {
    return this.#points.get(route) ?? []
  }

  /** By the clock of the server, as all times are that it tells. */
  nowMs(): number {
    return Date.now() + this.#aheadMs
  }

  /** Reads until the tab is closed, while it is seen; begins anew after each fault. */
  async run(): Promise<never> {
    onUnseen(UNSEEN_MS, () => this.#controller?.abort())
    for (;;) {
      await whenSeen()
      try {
        await this.#read()
        this.#lose('banyan has ended the stream')
      } catch (error) {
        if (error instanceof ApiError && error.wantsToken)
          this.#set('token', error.code === 'unauthorized' ? '' : error.message)
        else this.#lose((error as Error).message)
      }
      // With another token it goes on at once.
      await new Promise<void>((resolve) => {
        this.#wake = resolve
        if (this.connection !== 'token') setTimeout(resolve, RETRY_MS)
      })
    }
  }

  #wake: () => void = () => {}

  /** Connects anew, such as with another token. */
  restart(): void {
    this.#controller?.abort()
    this.#wake()
  }

  async #read(): Promise<void> {
    const controller = new AbortController()
    this.#controller = controller
    let silence = setTimeout(() => controller.abort(), SILENCE_MS)
    try {
      await readLines('/live', controller.signal, (line: LiveLine) => {
        clearTimeout(silence)
        silence = setTimeout(() => controller.abort(), SILENCE_MS)
        this.#take(line)
      })
    } finally {
      clearTimeout(silence)
    }
  }

  #take({ at, revision, default: fallback, table, changed, unclaimed, routes }: LiveLine): void {
    if (table !== undefined) {
      this.rows = table
      this.figures.clear()
    } else if (changed !== undefined) this.#splice(changed)
    if (table !== undefined || revision !== this.revision) this.edition++
    for (const [id, figures] of Object.entries(routes)) this.figures.set(id, figures)
    this.revision = revision
    this.default = fallback
    this.unclaimed = unclaimed
    this.#aheadMs = Date.parse(at) - Date.now()
    this.#remember(Date.parse(at))
    this.#set('live', '')
  }

  #splice(changed: readonly LiveSplice[]): void {
    const rows = [...this.rows]
    for (const { at, gone, come } of changed)
      for (const { id } of rows.splice(at, gone, ...come)) this.figures.delete(id)
    this.rows = rows
  }

  #remember(atMs: number): void {
    for (const { id, percent } of this.rows) {
      const figures = this.figures.get(id)
      const known = this.#points.get(id)
      if (figures === undefined || (known === undefined && figures.exchanges === 0)) continue
      if (known === undefined && this.#points.size >= MAX_DRAWN) continue
      const last = known?.at(-1)
      // A change of the percent is seen at once.
      if (last !== undefined && last.percent === percent && atMs - last.atMs < POINT_MS) continue
      this.#points.set(id, [...(known ?? []).slice(1 - MAX_POINTS), { atMs, percent, figures }])
    }
  }

  #lose(problem: string): void {
    this.#set('lost', problem === '' || problem.includes('abort') ? 'banyan does not answer' : problem)
  }

  #set(connection: Connection, problem: string): void {
    this.connection = connection
    this.problem = problem
    for (const listener of this.#listeners) listener()
  }
}

export const live = new Live()

/** A side as one, where it is several upstreams: the slowest and the mean of the errors. */
export function sideOf<One extends Partial<LiveSide> & Pick<LiveSide, 'exchanges' | 'errorRatio' | 'p95Ms'>>(
  sides: Readonly<Record<string, One>>,
  names: readonly string[],
): One | undefined {
  // What fell back from one of several is counted for all of them together.
  const found = [...new Set([...names, names.join(', ')])].flatMap((name) => sides[name] ?? [])
  if (found.length < 2) return found[0]
  const exchanges = found.reduce((sum, side) => sum + side.exchanges, 0)
  const errors = found.reduce((sum, side) => sum + (side.errorRatio ?? 0) * side.exchanges, 0)
  const slowest = (name: 'p50Ms' | 'p95Ms'): number | null =>
    found.reduce<number | null>((most, side) => (side[name] == null ? most : Math.max(most ?? 0, side[name])), null)
  return {
    ...(found[0] as One),
    exchanges,
    errorRatio: exchanges === 0 ? null : errors / exchanges,
    p50Ms: slowest('p50Ms'),
    p95Ms: slowest('p95Ms'),
  }
}

/** The share of all requests of the last minute that new services answered, and how many there were. */
export function whole(state: Live): { readonly newPercent: number | null; readonly perSecond: number } {
  let perSecond = state.unclaimed?.perSecond ?? 0
  let moved = 0
  for (const figures of state.figures.values()) {
    perSecond += figures.perSecond
    moved += (figures.perSecond * (figures.actualPercent ?? 0)) / 100
  }
  return { newPercent: perSecond === 0 ? null : (moved / perSecond) * 100, perSecond }
}
