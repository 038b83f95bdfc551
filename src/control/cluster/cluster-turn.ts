/**
 * An advisory lock for edits in a cluster. It expires by itself, so an instance that dies with it blocks nobody for long; writes are
 * compare-and-set anyway.
 */
import { setTimeout as wait } from 'node:timers/promises'
import type { ClusterLog } from '../../state/redis/cluster-log.ts'
import type { SharedTurn } from '../table/edit-turn.ts'

/** The turn expires after this unless renewed. */
const TTL_MS = 3_000
const RENEW_MS = 1_000
/** It is not renewed any more after this, because others wait for it. */
const LONGEST_MS = 30_000
/** After waiting this long, an edit continues without the turn. */
const PATIENCE_MS = 15_000
const AGAIN_MS = 25

/** The turn, as one instance sees it. */
export class ClusterTurn implements SharedTurn {
  readonly #shared: ClusterLog
  readonly #instance: string
  #isStrict = false

  constructor(shared: ClusterLog, instance: string) {
    this.#shared = shared
    this.#instance = instance
  }

  async take(): Promise<() => void> {
    const beganMs = performance.now()
    this.#isStrict = false
    while (!(await this.#has())) {
      if (performance.now() - beganMs > PATIENCE_MS) return () => {}
      await wait(AGAIN_MS)
    }
    const sinceMs = performance.now()
    const timer = setInterval(() => {
      if (performance.now() - sinceMs < LONGEST_MS) void this.#has()
    }, RENEW_MS)
    timer.unref()
    return () => {
      clearInterval(timer)
      this.#shared.endTurn(this.#instance).catch(() => {})
    }
  }

  insist(): void {
    this.#isStrict = true
    void this.#has()
  }

  async isOthers(isQuick: boolean): Promise<boolean> {
    const turn = await this.#shared.turn(TTL_MS).catch(() => null)
    return turn !== null && turn.instance !== this.#instance && (turn.isStrict || !isQuick)
  }

  /** If Redis is unreachable, nobody can edit, so there is no turn to wait for. */
  #has(): Promise<boolean> {
    return this.#shared.takeTurn(this.#instance, TTL_MS, this.#isStrict).catch(() => true)
  }
}
