/**
 * Shows how a run goes: a bar that rewrites its line on a terminal, a line from time to time in a log.
 */
import { spaced } from './report.ts'

/** Where a run stands. */
export interface Progress {
  readonly phase: 'reading' | 'merging'
  readonly records: number
  /** How many there will be, as far as that is known; null where it isn't. */
  readonly expected: number | null
}

/** Where to show it: a terminal, or anything that takes text. */
export interface Screen {
  readonly isTTY?: boolean
  write(text: string): unknown
}

const BAR_WIDTH = 30
const TERMINAL_EVERY_MS = 200
const LOG_EVERY_MS = 10_000

/** Shows progress on one screen. */
export class ProgressLine {
  readonly #screen: Screen
  readonly #nowMs: () => number
  #shownMs = Number.NEGATIVE_INFINITY
  #phase: Progress['phase'] | null = null
  #phaseMs = 0
  #firstRecords = 0
  #open = false

  constructor(screen: Screen, nowMs: () => number = () => performance.now()) {
    this.#screen = screen
    this.#nowMs = nowMs
  }

  /** Shows where the run stands, unless that was shown a moment ago. */
  show(progress: Progress): void {
    const nowMs = this.#nowMs()
    if (progress.phase !== this.#phase) {
      this.#phase = progress.phase
      this.#phaseMs = nowMs
      this.#firstRecords = progress.records
      // The first line of a log comes when there is something to tell.
      this.#shownMs = this.#screen.isTTY ? Number.NEGATIVE_INFINITY : nowMs
    }
    if (nowMs - this.#shownMs < (this.#screen.isTTY ? TERMINAL_EVERY_MS : LOG_EVERY_MS)) return
    this.#shownMs = nowMs
    const text = progressText(progress, (progress.records - this.#firstRecords) / ((nowMs - this.#phaseMs) / 1_000))
    this.#screen.write(this.#screen.isTTY ? `\r\u001b[K${text}` : `${text}\n`)
    this.#open = this.#screen.isTTY === true
  }

  /** Writes a line of its own, such as a warning; the bar goes on below it. */
  say(line: string): void {
    this.clear()
    this.#screen.write(`${line}\n`)
  }

  /** Takes the bar off the screen. */
  clear(): void {
    if (this.#open) this.#screen.write('\r\u001b[K')
    this.#open = false
  }
}

/** One line: `sync reading [#####-----] 45 % 8,100,000 of 18,000,000 records, 61,000/s, 163 s left`. */
export function progressText({ phase, records, expected }: Progress, perSecond: number): string {
  const rate = Number.isFinite(perSecond) ? `, ${spaced(Math.round(perSecond))}/s` : ''
  if (expected === null || expected === 0) return `sync ${phase} ${spaced(records)} records${rate}`
  const done = Math.min(1, records / expected)
  const filled = Math.round(done * BAR_WIDTH)
  const bar = `[${'#'.repeat(filled)}${'-'.repeat(BAR_WIDTH - filled)}] ${Math.floor(done * 100)} %`
  const left = perSecond > 0 && Number.isFinite(perSecond) ? Math.max(0, expected - records) / perSecond : null
  const time = left === null ? '' : `, ${Math.ceil(left)} s left`
  return `sync ${phase} ${bar} ${spaced(records)} of ${spaced(expected)} records${rate}${time}`
}
