/**
 * HTTP dates (RFC 9110 section 5.6.7): the three formats and nothing else, in any letter case, as epoch milliseconds.
 */

const SHORT_DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'] as const
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'] as const
const MONTH_LENGTHS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] as const

const SHORT_DAY = '(?:mon|tue|wed|thu|fri|sat|sun)'
const LONG_DAY = '(?:mon|tues|wednes|thurs|fri|satur|sun)day'
const MONTH = '(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)'
const TIME = '([0-9]{2}):([0-9]{2}):([0-9]{2})'

const IMF_FIXDATE = new RegExp(`^${SHORT_DAY}, ([0-9]{2}) ${MONTH} ([0-9]{4}) ${TIME} gmt$`, 'i')
const RFC_850 = new RegExp(`^${LONG_DAY}, ([0-9]{2})-${MONTH}-([0-9]{2}) ${TIME} gmt$`, 'i')
const ASCTIME = new RegExp(`^${SHORT_DAY} ${MONTH} ([0-9]{2}| [0-9]) ${TIME} ([0-9]{4})$`, 'i')

const DAY_MS = 86_400_000
const LAST_SECOND_MS = 253_402_300_799_000

/**
 * The moment that an HTTP-date names, in epoch milliseconds, or null where the text is none of IMF-fixdate, RFC 850 and
 * asctime, or names a day or time that does not exist.
 *
 * Letters may be in any case (RFC 9111 section 4.2). The name of the day must be one, but need not be that date's: the
 * grammar gives it no meaning, and both readings of a two-digit year can't have the same. A leap second (23:59:60) is
 * the second before it, the nearest earlier time that the clock can show.
 * @param nowMs epoch milliseconds; what the two-digit years of RFC 850 are read by
 */
export function parseHttpDate(text: string, nowMs: number): number | null {
  let found = IMF_FIXDATE.exec(text)
  if (found) return moment(Number(found[3]), found[2] as string, found[1] as string, found.slice(4))
  found = RFC_850.exec(text)
  if (found) return rfc850Moment(found, nowMs)
  found = ASCTIME.exec(text)
  return found ? moment(Number(found[6]), found[1] as string, found[2] as string, found.slice(3, 6)) : null
}

/** Writes epoch milliseconds as IMF-fixdate, whole seconds rounded down, kept within the years 0000 to 9999. */
export function formatHttpDate(ms: number): string {
  const seconds = Math.floor(Math.min(Math.max(ms, FIRST_SECOND_MS), LAST_SECOND_MS) / 1000)
  const days = Math.floor(seconds / 86_400)
  const [year, month, day] = civilFromDays(days)
  const time = seconds - days * 86_400
  const clock = [Math.floor(time / 3600), Math.floor(time / 60) % 60, time % 60].map(twoDigits).join(':')
  const weekday = SHORT_DAYS[(((days + 4) % 7) + 7) % 7] as string
  return `${weekday}, ${twoDigits(day)} ${MONTHS[month - 1]} ${String(year).padStart(4, '0')} ${clock} GMT`
}

function twoDigits(number: number): string {
  return number < 10 ? `0${number}` : String(number)
}

function moment(year: number, monthName: string, dayText: string, time: readonly string[]): number | null {
  const month = MONTHS.findIndex((name) => name.toLowerCase() === monthName.toLowerCase()) + 1
  const day = Number(dayText)
  const longest = month === 2 && isLeap(year) ? 29 : (MONTH_LENGTHS[month - 1] as number)
  if (day < 1 || day > longest) return null
  const [hour, minute, second] = time.map(Number) as [number, number, number]
  const leap = second === 60 && hour === 23 && minute === 59
  if (hour > 23 || minute > 59 || (second > 59 && !leap)) return null
  const seconds = hour * 3600 + minute * 60 + (leap ? 59 : second)
  return daysFromCivil(year, month, day) * DAY_MS + seconds * 1000
}

/**
 * A two-digit year is the latest one that is not more than 50 years ahead: what would be further in the future means the
 * most recent year in the past that ends in the same digits.
 */
function rfc850Moment(found: RegExpExecArray, nowMs: number): number | null {
  const days = Math.floor(nowMs / DAY_MS)
  const [nowYear, nowMonth, nowDay] = civilFromDays(days)
  // The same day 50 years on; 29 February runs on into March where that year has none, as calendars do.
  const limitMs = daysFromCivil(nowYear + 50, nowMonth, nowDay) * DAY_MS + (nowMs - days * DAY_MS)
  const century = Math.floor((nowYear + 50) / 100) * 100
  const ahead = century + Number(found[3])
  const inYear = (year: number) => moment(year, found[2] as string, found[1] as string, found.slice(4))
  const ms = ahead > nowYear + 50 ? null : inYear(ahead)
  return ms !== null && ms <= limitMs ? ms : inYear(ahead - 100)
}

function isLeap(year: number): boolean {
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)
}

/** Days since 1970-01-01 of a date in the proleptic Gregorian calendar, counted in years that begin in March. */
function daysFromCivil(year: number, month: number, day: number): number {
  const y = month > 2 ? year : year - 1
  const era = Math.floor(y / 400)
  const yearOfEra = y - era * 400
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear
  return era * 146_097 + dayOfEra - 719_468
}

function civilFromDays(days: number): [year: number, month: number, day: number] {
  const shifted = days + 719_468
  const era = Math.floor(shifted / 146_097)
  const dayOfEra = shifted - era * 146_097
  const leapDays = Math.floor(dayOfEra / 1460) - Math.floor(dayOfEra / 36_524) + Math.floor(dayOfEra / 146_096)
  const yearOfEra = Math.floor((dayOfEra - leapDays) / 365)
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100))
  const shiftedMonth = Math.floor((5 * dayOfYear + 2) / 153)
  const month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
  const day = dayOfYear - Math.floor((153 * shiftedMonth + 2) / 5) + 1
  return [yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day]
}

const FIRST_SECOND_MS = daysFromCivil(0, 1, 1) * DAY_MS
