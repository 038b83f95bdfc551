/**
 * The body of a stored answer, closed: only a request that the answer was made for opens it.
 */

/** All that an answer was made for. */
export interface MadeFor {
  /** The whole key, before any hashing: route, upstream, method class and URI. */
  readonly key: string
  /** Of the settings of route and upstream that made it. */
  readonly print: string
  /** What counts besides the key: forms of the authority, and the fields and cookies that the route names. */
  readonly parts: string
  /** The request fields that selected it, lower case, sorted (RFC 9111 section 4.1), and what they were. */
  readonly vary: readonly string[]
  readonly selected: string
}

/** A request as answers are compared with it: of the form in which it is sent to the upstream. */
export interface Requester {
  readonly key: string
  readonly print: string
  readonly parts: string
  /** The fields that `vary` names, with their values. */
  selecting(vary: readonly string[]): string
}

/** What an answer to this request is made for, where it names these fields in Vary. */
export function madeFor(requester: Requester, vary: readonly string[]): MadeFor {
  const { key, print, parts } = requester
  return { key, print, parts, vary, selected: vary.length === 0 ? '' : requester.selecting(vary) }
}

/** THE comparison: whether an answer was made for exactly such a request. Each way to a client goes through it. */
export function isMadeFor(made: MadeFor, requester: Requester): boolean {
  return (
    made.key === requester.key &&
    made.print === requester.print &&
    made.parts === requester.parts &&
    (made.vary.length === 0 || made.selected === requester.selecting(made.vary))
  )
}

/** A body and what it was made for. */
export class Content {
  readonly #body: Buffer
  readonly madeFor: MadeFor

  constructor(madeFor: MadeFor, body: Buffer) {
    this.madeFor = madeFor
    this.#body = body
  }

  /** In bytes. */
  get length(): number {
    return this.#body.length
  }

  /** The body; null for a request that it was not made for. */
  open(requester: Requester): Buffer | null {
    return isMadeFor(this.madeFor, requester) ? this.#body : null
  }

  /** The same body, made for what the upstream has confirmed it for. */
  again(madeFor: MadeFor): Content {
    return new Content(madeFor, this.#body)
  }

  /** Copies the body, for a store. */
  copyTo(bytes: Buffer, at: number): void {
    this.#body.copy(bytes, at)
  }
}
