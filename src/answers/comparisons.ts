/**
 * The shape of answers about comparisons of the two sides of a route.
 */

/** What differs, and how. */
export interface DifferenceAnswer {
  readonly path: string
  readonly kind: string
  readonly from: string | null
  readonly to: string | null
}

/** A field that has differed. */
export interface FieldAnswer extends Pick<DifferenceAnswer, 'path' | 'kind'> {
  readonly verdict: string
  readonly count: number
  readonly rate: number
  readonly noiseRate: number | null
  readonly first: string
  readonly last: string
  readonly example: Pick<DifferenceAnswer, 'from' | 'to'>
  readonly sample: string | null
}

/** `GET /routes/:id/comparisons`. */
export interface ComparisonsAnswer {
  readonly route: string
  readonly from: string
  readonly to: string | Readonly<Record<string, number>>
  readonly shadow: { readonly percent: number; readonly sides: string; readonly samples: string } | null
  readonly problem: string | null
  readonly since: string | null
  readonly comparisons: number
  readonly matches: number
  readonly mismatches: number
  readonly partial: number
  readonly blind: number
  readonly noiseComparisons: number
  readonly repeats: number
  readonly cookieSet: number
  readonly errors: Readonly<Record<string, number>>
  readonly skipped: Readonly<Record<string, number>>
  readonly fields: readonly FieldAnswer[]
  readonly moreFields: number
}

/** `GET /samples/:id`: one comparison. */
export interface SampleAnswer {
  readonly method: string
  readonly target: string
  readonly at: string
  readonly note: string | null
  readonly differences: readonly DifferenceAnswer[]
}
