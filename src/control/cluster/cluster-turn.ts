/**
 * The turn to edit among the instances of a cluster. It lapses by itself: one that dies with it holds up nobody for long, and what is
 * written is compared all the same.
 */
import { setTimeout as wait } from 'node:timers/promises'
import type { ClusterLog } from '../../state/redis/cluster-log.ts'
import type { SharedTurn } from '../table/edit-turn.ts'

/** The turn is over after this, unless it is renewed. */
const TTL_MS = 3_000
const RENEW_MS = 1_000
/** And is not renewed after this: others wait for it. */
const LONGEST_MS = 30_000
/** An edit goes on without after this. */
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

  /** Without Redis nobody edits: then there is no turn to wait for. */
  #has(): Promise<boolean> {
    return this.#shared.takeTurn(this.#instance, TTL_MS, this.#isStrict).catch(() => true)
  }
}
