/**
 * The shape of answers about ramps.
 */

/** A percent, or everybody. */
export type StepAnswer = number | 'all'

/** A count of each side. */
export interface OfSidesAnswer {
  readonly to: number
  readonly rest: number
}

/** `GET /routes/:id/ramp`. */
export interface RampAnswer {
  readonly route: string
  /** All routes that move together. */
  readonly routes: readonly string[]
  readonly steps: readonly StepAnswer[]
  readonly hold: string
  readonly approve: readonly StepAnswer[]
  readonly window: string | null
  readonly requires: readonly string[]
  readonly storage: string
  readonly status: string
  readonly why: string | null
  readonly step: StepAnswer | null
  readonly percent: number | null
  readonly next: StepAnswer | null
  readonly heldSeconds: number | null
  /** What a take-back restores. */
  readonly before: { readonly percent: number } | null
  readonly verdict: { readonly verdict: string; readonly words: string } | null
  readonly isFull: boolean
  readonly problem: string | null
  readonly evidence: readonly {
    readonly percent: number
    readonly keys: OfSidesAnswer
    readonly failed: Readonly<Record<'error' | 'client-error' | 'redirect', OfSidesAnswer>>
    readonly withoutKey: { readonly seen: OfSidesAnswer; readonly failed: { readonly error: OfSidesAnswer } }
  }[]
  readonly events: readonly { readonly at: string; readonly by: string; readonly what: string }[]
}
