/**
 * The words of a comparison: two answers, what of them is compared, and how they differ.
 */

/** One of the two answers, as its client would get it. */
export interface ComparedAnswer {
  readonly status: number
  /** Name, value, name, value, ...: Latin-1. */
  readonly rawHeaders: readonly string[]
  /** Null: larger than `maxBody`, or none as the request was HEAD, so that only status and headers are compared. */
  readonly body: Uint8Array | null
  /** Of a body that is larger than `maxBody`: its bytes, or null where its head does not say how many. */
  readonly tooLarge?: number | null
}

export interface CompareSettings {
  /** Lower-case names. The names of the cookies that are set are compared always. */
  readonly headers: readonly string[]
  /** What is not compared: JSON pointers with everything below them, `body`, `charset`, `status`, `header:NAME`, `cookie:NAME`. */
  readonly ignore: readonly string[]
  /** JSON pointers of lists whose order does not count. */
  readonly unordered: readonly string[]
  /** Numbers count as equal if they differ by no more than this part of the larger one. */
  readonly tolerance: number
  /** JSON pointers whose values, with everything below them, are never shown. */
  readonly redact: readonly string[]
}

/** The header fields that are compared unless others are chosen. */
export const DEFAULT_COMPARED_HEADERS: readonly string[] = ['content-type', 'location', 'cache-control']

/**
 * `missing` and `extra`: `from` or `to` alone has it, be it null; `type`: null, boolean, number, string, list and object
 * are types; `order`: the elements of a list are the same; `length`: lists or bodies are longer or shorter.
 */
export type DifferenceKind = 'missing' | 'extra' | 'type' | 'value' | 'order' | 'length'

export interface Difference {
  /**
   * `status`, `header:content-type`, `cookie:sid`, `charset` (of the body, as it is), or a JSON pointer in which indices, and keys that are data, are `*`; the
   * empty one is the whole body.
   */
  readonly path: string
  readonly kind: DifferenceKind
  /** The values, rendered in at most 100 characters; null where there is none. */
  readonly from: string | null
  readonly to: string | null
  /** They tell lengths and hashes of bodies, and nothing else that is in them. */
  readonly isSummary?: true
}

export interface Comparison {
  /** At most 100, and one for each path and kind. */
  readonly differences: readonly Difference[]
  /**
   * False: there are no bodies of what was asked for (HEAD, or 5xx on both sides), one is larger than `maxBody` or can't be
   * decoded within bounds, or the statuses differ, or the bodies as a whole, so that no field of them is compared. An ignored body
   * counts as compared, but for 5xx.
   */
  readonly bodyCompared: boolean
  /** There are more differences than these. */
  readonly isCut: boolean
  /** What else there is to know, such as `duplicate key /a`. */
  readonly note: string | null
}

const MOST_DIFFERENCES = 100

/** The differences found so far: one for each path and kind, and no more than 100. */
export class Differences {
  readonly #found = new Map<string, Difference>()
  #isCut = false
  #isWhole = false

  /** The bodies differ as a whole. @param isSummary the values tell no more than lengths and hashes */
  addWhole(kind: DifferenceKind, from: () => string | null, to: () => string | null, isSummary = true): void {
    this.#isWhole = true
    this.#add('', kind, from, to, isSummary ? { isSummary } : {})
  }

  /** Whether the bodies differ as a whole. */
  get isWhole(): boolean {
    return this.#isWhole
  }

  /** The values are rendered only where the difference is new. */
  add(path: string, kind: DifferenceKind, from: () => string | null, to: () => string | null): void {
    this.#add(path, kind, from, to, {})
  }

  #add(
    path: string,
    kind: DifferenceKind,
    from: () => string | null,
    to: () => string | null,
    more: Pick<Difference, 'isSummary'>,
  ): void {
    const key = `${kind} ${path}`
    if (this.#found.has(key)) return
    if (this.#found.size < MOST_DIFFERENCES) this.#found.set(key, { path, kind, from: from(), to: to(), ...more })
    else this.#isCut = true
  }

  /** Whether there were more than are listed: looking further is of no use. */
  get isCut(): boolean {
    return this.#isCut
  }

  get list(): readonly Difference[] {
    return [...this.#found.values()]
  }
}
