/**
 * What an answer speaks of. One that speaks of a single request (its credentials, size, rate, condition or range) is nobody
 * else's: it is never stored, and tells nothing about what is stored. One that speaks of the resource does.
 */
import type { SkipReason } from './meta.ts'

/**
 * Statuses about one request: RFC 9110 sections 15.5.2, 15.5.8 to 15.5.9, 15.5.13 to 15.5.14, 15.5.17 to 15.5.18, 15.5.20,
 * 15.5.22; RFC 6585 forbids storing 428, 429, 431 and 511; RFC 8470 section 5.2 (425).
 */
const OF_ONE_REQUEST: ReadonlySet<number> = new Set([
  401, 407, 408, 412, 413, 416, 417, 421, 425, 426, 428, 429, 431, 511,
])

/** Errors that say the same to everybody. */
const ERRORS_OF_RESOURCE: ReadonlySet<number> = new Set([404, 410, 414, 451])

/** Whether a status speaks of one request only. */
export function isOfOneRequest(status: number): boolean {
  return OF_ONE_REQUEST.has(status)
}

/** Whether a status is an error that may be stored only where the route allows it and the answer has its own lifetime. */
export function isUnsafeError(status: number): boolean {
  return status >= 400 && !ERRORS_OF_RESOURCE.has(status)
}

/** An answer that is not stored, and how it came to be asked for. */
export interface Unstored {
  readonly status: number
  readonly why: SkipReason | 'too-large'
  /** What is stored had to be confirmed: the answer is the upstream's word on what to serve from now on (RFC 9111 section 4.3.3). */
  readonly refreshes: boolean
}

/** What an answer that is not stored does. */
export interface Aftermath {
  /** What is stored is untrue, and is dropped. */
  readonly drops: boolean
  /** The next answer will hardly be shareable either: for a while nobody waits for it (hit-for-miss). */
  readonly marks: boolean
}

const NOTHING: Aftermath = Object.freeze({ drops: false, marks: false })

/** Reasons that are the request's, not the answer's. */
const OF_REQUEST: ReadonlySet<Unstored['why']> = new Set(['request-no-store', 'method', 'partial', 'status'])

/** What an answer that is not stored means for what is stored, and for those who ask next. */
export function aftermathOf({ status, why, refreshes }: Unstored): Aftermath {
  // A failing upstream says nothing lasting; what is stored stands in for it.
  if (status >= 500 || isOfOneRequest(status) || OF_REQUEST.has(why)) return NOTHING
  if (why === 'authorization') return { drops: false, marks: true }
  if (status === 403) return { drops: refreshes, marks: false }
  if (isUnsafeError(status)) return NOTHING
  // While it is fresh, what one request gets is no word on what is there for all others.
  return { drops: refreshes, marks: why !== 'error' }
}

/**
 * Fields that clients and proxies send of themselves, whoever is asking. By any other one, such as Cookie, Authorization or
 * X-Auth-Token, a server may tell who is.
 */
const OF_ANYBODY =
  /^(?:accept(?:-.+)?|access-control-.+|cache-control|connection|content-.+|date|dnt|expect|forwarded|host|if-.+|keep-alive|max-forwards|origin|pragma|priority|range|referer|sec-.+|te|trace(?:parent|state)|trailer|transfer-encoding|upgrade|upgrade-insecure-requests|user-agent|via|x-forwarded-.+|x-real-ip|x-request-id)$/i

/** The fields by which a server may tell who is asking: names in lower case, sorted, each once; '' for a stranger. */
export function tellingFields(rawHeaders: readonly string[]): string {
  const names = new Set<string>()
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string
    if (!OF_ANYBODY.test(name)) names.add(name.toLowerCase())
  }
  return [...names].sort().join()
}
