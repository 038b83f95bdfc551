/**
 * Endpoints that end: when, how that is announced (RFC 8594, RFC 9745), and the brownouts before.
 */
import { formatHttpDate } from '../http/http-date.ts'
import { type Flaw, parseDurationMs } from '../values/units.ts'

/** A time in which a part of the requests is refused, so that whoever still calls notices. */
export interface Brownout {
  /** Epoch milliseconds. */
  readonly startMs: number
  readonly endMs: number
  /** Part of the requests, in (0, 1]. */
  readonly share: number
  readonly status: number
}

/** How the endpoint of a route ends. */
export interface Retirement {
  /** Of the responses once it has ended. Default 410. */
  readonly status: number
  /** When it ends, epoch milliseconds; -Infinity where it has, null where that is not said. */
  readonly endsMs: number | null
  readonly brownouts: readonly Brownout[]
  /** What announces it in each response: name, value, name, value. */
  readonly fields: readonly string[]
}

/** A request that is refused since its endpoint ends. */
export interface Refused {
  readonly kind: 'ended' | 'brownout'
  readonly status: number
  /** When it is worth trying again, epoch milliseconds; null for never. */
  readonly againMs: number | null
}

/** `retire` of a route, as the table has it. */
export interface RetirementDocument {
  readonly status?: number | undefined
  readonly deprecated?: string | undefined
  readonly sunset?: string | undefined
  readonly link?: string | undefined
  readonly brownouts?:
    | readonly {
        readonly at: string
        readonly for: string
        readonly percent?: number | undefined
        readonly status?: 410 | 503 | undefined
      }[]
    | undefined
}

/** Compiles a document in which no check has found an error. */
export function compileRetirement(said: RetirementDocument): Retirement {
  const { status, deprecated, sunset, link, brownouts = [] } = said
  const deprecatedMs = deprecated === undefined ? null : parseTime(deprecated)
  const sunsetMs = sunset === undefined ? null : parseTime(sunset)
  const fields: string[] = []
  if (deprecatedMs !== null) fields.push('Deprecation', `@${Math.floor(deprecatedMs / 1000)}`)
  if (sunsetMs !== null) fields.push('Sunset', formatHttpDate(sunsetMs))
  if (link !== undefined) fields.push('Link', `<${link}>; rel="${relationsOf(deprecatedMs, sunsetMs)}"`)
  return {
    status: status ?? 410,
    endsMs: sunsetMs ?? (status === undefined ? null : Number.NEGATIVE_INFINITY),
    brownouts: brownouts.map((one) => {
      const startMs = parseTime(one.at) as number
      const lengthMs = parseDurationMs(one.for) as number
      return { startMs, endMs: startMs + lengthMs, share: (one.percent ?? 100) / 100, status: one.status ?? 503 }
    }),
    fields,
  }
}

function relationsOf(deprecatedMs: number | null, sunsetMs: number | null): string {
  const named = [deprecatedMs === null ? '' : 'deprecation', sunsetMs === null ? '' : 'sunset'].filter(Boolean)
  return named.length === 0 ? 'sunset' : named.join(' ')
}

/** Whether the endpoint has ended for everybody. @param nowMs epoch milliseconds */
export function hasEnded({ endsMs }: Retirement, nowMs: number): boolean {
  return endsMs !== null && nowMs >= endsMs
}

/**
 * Whether a request is refused now.
 * @param chance the random number of its exchange, in [0, 1): that of the draw, of which this takes other digits
 * @returns null where it is not
 */
export function refusedNow(retirement: Retirement, nowMs: number, chance: number): Refused | null {
  if (hasEnded(retirement, nowMs)) return { kind: 'ended', status: retirement.status, againMs: null }
  const brownout = retirement.brownouts.find(
    ({ startMs, endMs, share }) => nowMs >= startMs && nowMs < endMs && (chance * 65_536) % 1 < share,
  )
  return brownout === undefined ? null : { kind: 'brownout', status: brownout.status, againMs: brownout.endMs }
}

/** The fields of a response with those that announce the end; its own of these names give way, but for Link. */
export function announced(fields: readonly string[], { fields: own }: Retirement): readonly string[] {
  if (own.length === 0) return fields
  const names = new Set(own.filter((_, at) => at % 2 === 0).map((name) => name.toLowerCase()))
  names.delete('link')
  const kept = fields.filter((_, at) => !names.has((fields[at - (at % 2)] as string).toLowerCase()))
  return [...kept, ...own]
}

const TIME = /^(\d{4})-(\d\d)-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d))?(?:Z|([+-])(\d\d):(\d\d)))?$/

/**
 * A date (its midnight in UTC), or a time with its zone (RFC 3339).
 * @returns epoch milliseconds; null for anything else
 */
export function parseTime(text: string): number | null {
  const found = TIME.exec(text)
  if (found === null) return null
  const [year, month, day, hour, minute, second] = found.slice(1, 7).map((digits) => Number(digits ?? 0)) as [
    ...[number, number, number, number, number, number],
  ]
  const ms = Date.UTC(year, month - 1, day, hour, minute, second)
  const isDay = month >= 1 && month <= 12 && day >= 1 && Date.UTC(year, month - 1, day) < Date.UTC(year, month, 1)
  if (!isDay || hour > 23 || minute > 59 || second > 59 || year < 2000) return null
  const [sign, hours, minutes] = [found[7] === '-' ? 1 : -1, Number(found[8] ?? 0), Number(found[9] ?? 0)]
  return hours > 23 || minutes > 59 ? null : ms + sign * (hours * 60 + minutes) * 60_000
}

/** Why a text is no date or time, or null. */
export function flawOfTime(text: string): Flaw | null {
  return parseTime(text) === null
    ? { message: `invalid time ${JSON.stringify(text)}: expected 2027-03-31 (UTC) or 2027-03-31T09:00:00Z` }
    : null
}

/** Why an address can't be in Link (RFC 8288 section 3), or null. */
export function flawOfLink(text: string): Flaw | null {
  return /^https?:\/\/[^\s<>"\\^`{|}\x00-\x20\x7f-\u{10ffff}/?#][^\s<>"\\^`{|}\x00-\x20\x7f-\u{10ffff}]*$/u.test(text)
    ? null
    : { message: `invalid link ${JSON.stringify(text)}: expected a URL such as https://example.com/moved` }
}

/** What is wrong with `retire` as a whole, or null. */
export function flawOfRetirement(said: RetirementDocument): Flaw | null {
  const { status, deprecated, sunset, brownouts } = said
  if (status === undefined && deprecated === undefined && sunset === undefined && (brownouts ?? []).length === 0)
    return {
      message: 'expected status, sunset, deprecated or brownouts',
      hint: 'write status: 410 if the endpoint has ended',
    }
  const [from, until] = [deprecated, sunset].map((text) => (text === undefined ? null : parseTime(text)))
  // RFC 9745 section 4.
  return from != null && until != null && until < from
    ? { message: `sunset ${sunset} is before deprecated ${deprecated}` }
    : null
}
