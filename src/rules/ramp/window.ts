/**
 * The hours in which a ramp may take steps: `Mon-Fri 09:00-17:00 Europe/Berlin`.
 */
import type { Flaw } from '../values/units.ts'

const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'] as const

/** Hours of some days of the week. */
export interface StepWindow {
  /** As it was written. */
  readonly text: string
  /** The days on which it begins; 0 is Sunday. */
  readonly days: ReadonlySet<number>
  /** Minutes since midnight. Where it ends before it begins, it ends on the next day. */
  readonly fromMinute: number
  readonly toMinute: number
  /** Name of the IANA time zone database. */
  readonly zone: string
}

const FORM = /^(?:(\S+) +)?(\d\d):(\d\d)-(\d\d):(\d\d)(?: +(\S+))?$/
const HINT = 'such as Mon-Fri 09:00-17:00 Europe/Berlin; without days every day, without a zone UTC'
const DAY_MINUTES = 24 * 60

/** Why a text is no window, or null. */
export function flawOfWindow(text: string): Flaw | null {
  const read = readWindow(text)
  return 'message' in read ? read : null
}

/** A window. @throws {RangeError} for a text that has a flaw */
export function parseWindow(text: string): StepWindow {
  const read = readWindow(text)
  if ('message' in read) throw new RangeError(read.message)
  return read
}

function readWindow(text: string): StepWindow | Flaw {
  const match = FORM.exec(text.trim())
  if (match === null) return { message: `invalid window '${text}'`, hint: HINT }
  const [, said, h1, m1, h2, m2, zone = 'UTC'] = match as unknown as [string, ...(string | undefined)[]]
  const days = said === undefined ? new Set(DAYS.keys()) : daysOf(said)
  if (days === null) return { message: `invalid days '${said}'`, hint: 'such as Mon-Fri or Mon,Wed' }
  const [fromMinute, toMinute] = [minuteOf(h1, m1), minuteOf(h2, m2)]
  if (fromMinute === null || toMinute === null || fromMinute === toMinute || fromMinute === DAY_MINUTES)
    return { message: `invalid hours '${h1}:${m1}-${h2}:${m2}'`, hint: 'from 00:00 to 24:00, and not the same twice' }
  if (clockOf(zone) === null)
    return { message: `unknown time zone '${zone}'`, hint: 'such as UTC, Europe/Berlin or America/New_York' }
  return { text: text.trim(), days, fromMinute, toMinute, zone }
}

function daysOf(text: string): Set<number> | null {
  const days = new Set<number>()
  for (const part of text.split(',')) {
    const [first, last = first, ...more] = part.split('-').map((name) => DAYS.indexOf(name as (typeof DAYS)[number]))
    if (first === undefined || last === undefined || first < 0 || last < 0 || more.length > 0) return null
    for (let day = first; ; day = (day + 1) % 7) {
      days.add(day)
      if (day === last) break
    }
  }
  return days
}

function minuteOf(hours: string | undefined, minutes: string | undefined): number | null {
  const [hour, minute] = [Number(hours), Number(minutes)]
  const all = hour * 60 + minute
  return minute < 60 && all <= DAY_MINUTES ? all : null
}

/** Whether a step may be taken. @param nowMs epoch milliseconds */
export function isWithin({ days, fromMinute, toMinute, zone }: StepWindow, nowMs: number): boolean {
  const [day, minute] = localTime(zone, nowMs)
  const isOvernight = toMinute < fromMinute
  if (days.has(day) && minute >= fromMinute && (isOvernight || minute < toMinute)) return true
  return isOvernight && days.has((day + 6) % 7) && minute < toMinute
}

/** Day of the week and minute of the day. */
function localTime(zone: string, nowMs: number): [day: number, minute: number] {
  const parts = new Map(
    clockOf(zone)
      ?.formatToParts(nowMs)
      .map(({ type, value }) => [type, value]),
  )
  const day = DAYS.indexOf(parts.get('weekday') as (typeof DAYS)[number])
  return [day, Number(parts.get('hour')) * 60 + Number(parts.get('minute'))]
}

/** Making one takes a while. Only zones that exist are kept. */
const clocks = new Map<string, Intl.DateTimeFormat>()

function clockOf(zone: string): Intl.DateTimeFormat | null {
  const known = clocks.get(zone)
  if (known !== undefined) return known
  try {
    const clock = new Intl.DateTimeFormat('en-US', {
      ...{ timeZone: zone, hourCycle: 'h23', weekday: 'short', hour: '2-digit', minute: '2-digit' },
    })
    // Offsets such as +01:00 are zones too, and there is one for each minute.
    if (clocks.size < 1000) clocks.set(zone, clock)
    return clock
  } catch {
    return null
  }
}
