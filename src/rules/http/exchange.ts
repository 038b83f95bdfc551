/**
 * The words of one exchange: what the rules see of a request, and what they decide for it.
 */

/** What a peer that came through a Unix socket is called where others have an address. */
export const UNIX_PEER = 'unix'

/** A request as the rules see it: the bytes as received, who sent it, and the one random draw of this exchange. */
export interface RequestView {
  /** The method as received: case-sensitive (RFC 9110 section 9.1). */
  readonly method: string
  /** The request target as received (RFC 9112 section 3.2), never decoded or normalised. */
  readonly target: string
  /** The Host of the request in lower case with its port (`example.test:8080`), or '' where there is none. */
  readonly host: string
  /** Field names and values as received: name, value, name, value; Latin-1 strings. */
  readonly rawHeaders: readonly string[]
  /** The client's IP address, after the trusted-proxy rules. */
  readonly clientAddress: string
  /** A random number in [0, 1), drawn once for the whole exchange. */
  readonly chance: number
  /** The id of a visitor, received or just made, where the route may draw on it; no part of the request as forwarded. */
  readonly visitor?: string
  /** Of a request that is only described (explain): what its client speaks. Default: http. */
  readonly scheme?: 'http' | 'https'
}

/**
 * Why an exchange went where it went. A closed set: log, metrics and explain use these words.
 *
 * - `default`: no route claims the request
 * - `percent`: its bucket lies in the share
 * - `rest`: its bucket lies outside the share
 * - `no-key`: the route is sticky and none of its keys is present: it goes where the route's `noKey` says
 * - `pinned`: its client has a connection of its own to this side (NTLM, Negotiate), or has just written there
 * - `forced`: a valid force token named the upstream
 * - `unavailable`: its bucket lies in the share, but the breaker of `to` is open
 * - `fallback`: `to` failed and `from` answered
 * - `ambiguous`: the path has more than one reading, so no route is asked
 * - `retired`: the endpoint has ended, or a brownout refuses it: no upstream is asked
 */
export type Reason =
  | 'default'
  | 'percent'
  | 'rest'
  | 'no-key'
  | 'pinned'
  | 'forced'
  | 'unavailable'
  | 'fallback'
  | 'ambiguous'
  | 'retired'

/** Of the two upstreams of a route. */
export type Side = 'from' | 'to'

/** What was decided for one exchange. Log line, explain and metrics print this one object. */
export interface Decision {
  /** The route that claimed the request, or null. */
  readonly routeId: string | null
  /** The name of the upstream that is to answer; empty where none is. */
  readonly upstream: string
  readonly reason: Reason
  /** The unit's place in [0, 100), or null where nothing was drawn (no route, 0 per cent, all of them, no key). */
  readonly bucket: number | null
  /** The route's percent at the time, or null where no route claimed the request. */
  readonly percent: number | null
  /** Which sticky source gave the key (`cookie:sid`, `request`), or null where none was used. */
  readonly sticky: string | null
}

/** The first value of a field, or undefined. `name` is in lower case. */
export function fieldValue(rawHeaders: readonly string[], name: string): string | undefined {
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const field = rawHeaders[i] as string
    if (field.length === name.length && field.toLowerCase() === name) return rawHeaders[i + 1]
  }
  return undefined
}

/** All values of a field, in the order received. `name` is in lower case. */
export function fieldValues(rawHeaders: readonly string[], name: string): string[] {
  const values: string[] = []
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const field = rawHeaders[i] as string
    if (field.length === name.length && field.toLowerCase() === name) values.push(rawHeaders[i + 1] as string)
  }
  return values
}
