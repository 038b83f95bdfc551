/**
 * Shows how a run goes: one line that is written again on a terminal, a line every ten seconds in a log.
 */

/** Where to show it: a terminal, or anything that takes text. */
export interface Screen {
  readonly isTTY?: boolean
  write(text: string): unknown
}

export class ProgressLine {
  readonly #screen: Screen
  readonly #nowMs: () => number
  #shownMs: number
  #open = false

  constructor(screen: Screen, nowMs: () => number = () => performance.now()) {
    this.#screen = screen
    this.#nowMs = nowMs
    this.#shownMs = nowMs()
  }

  /** Shows how many records have been read, unless that was shown a moment ago. `expected`: null where that isn't known. */
  show(records: number, expected: number | null): void {
    const isTerminal = this.#screen.isTTY === true
    if (this.#nowMs() - this.#shownMs < (isTerminal ? 200 : 10_000)) return
    this.#shownMs = this.#nowMs()
    const share = expected === null ? '' : `, ${Math.min(100, Math.floor((records / expected) * 100))} %`
    const text = `sync: ${records.toLocaleString('en-US')} records read${share}`
    this.#screen.write(isTerminal ? `\r\u001b[K${text}` : `${text}\n`)
    this.#open = isTerminal
  }

  /** Writes a line of its own, such as a warning; the progress goes on below it. */
  say(line: string): void {
    this.clear()
    this.#screen.write(`${line}\n`)
  }

  /** Takes the progress off the screen. */
  clear(): void {
    if (this.#open) this.#screen.write('\r\u001b[K')
    this.#open = false
  }
}
