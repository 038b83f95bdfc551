/**
 * What the open-loop load prints.
 */
import type { Measured } from '../harness/rounds.ts'

/** One run at a constant rate. */
export interface Timed extends Measured {
  /** The part (0 to 1) of the requests that were left out, since the load itself was held up. */
  readonly leftOut: number
}
