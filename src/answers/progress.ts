/**
 * The shape of answers about how far the migration is.
 */

/** Who has answered, of a route or of all. */
export interface AnsweredAnswer {
  readonly to: number
  readonly from: number
  readonly fallback: number
  readonly forced: number
  readonly ended: number
  readonly share: number | null
}

/** How far endpoints are. */
export interface EndpointCountAnswer {
  readonly moved: number
  readonly moving: number
  readonly waiting: number
  readonly ended: number
  readonly unclaimed: number
}

/** `GET /progress`. */
export interface ProgressAnswer {
  readonly storage: string
  readonly problem: string | null
  readonly days: number
  readonly requests: AnsweredAnswer
  readonly endpoints: EndpointCountAnswer
  readonly routes: readonly (AnsweredAnswer & {
    readonly id: string
    readonly stage: string
    readonly percent: number
    readonly since: string | null
  })[]
  readonly unclaimed: AnsweredAnswer
  readonly next: readonly {
    readonly kind: string
    readonly what: string
    readonly why: string
    readonly command: string
  }[]
  readonly by: string
  readonly history: readonly (AnsweredAnswer & {
    readonly at: string
    readonly endpoints: EndpointCountAnswer | null
  })[]
}

/** Who has asked. */
export interface CallerAnswer {
  readonly agent: string
  readonly network: string
  readonly requests: number
  readonly last: string
}

/** An endpoint that no route claims. */
export interface EndpointAnswer {
  readonly id: string
  readonly method: string
  readonly path: string
  readonly route: string | null
  readonly requests: number
  readonly share: number
  readonly statuses: Readonly<Record<string, number>>
  readonly meanMs: number | null
  readonly first: string
  readonly last: string
  readonly callers: readonly CallerAnswer[]
  readonly otherCallers: number
}

/** `GET /discovered`. */
export interface DiscoveredAnswer {
  readonly problem: string | null
  readonly since: string
  readonly requests: number
  readonly others: { readonly refused: number; readonly ambiguous: number; readonly more: number }
  readonly endpoints: readonly EndpointAnswer[]
}

/** `GET /retirement`, and of a route. */
export interface RetirementAnswer {
  readonly route: string | null
  readonly from: string | null
  readonly ended?: boolean | undefined
  readonly days: number
  readonly ready: boolean
  readonly obstacles: readonly {
    readonly kind: string
    readonly why: string
    readonly blocks: boolean
    readonly command: string | null
  }[]
  readonly callers: readonly CallerAnswer[]
  readonly otherCallers: number
}
