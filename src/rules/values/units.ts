/**
 * Parses, checks and prints durations, sizes and percents as written in routes.yaml.
 */

/** Why a value is invalid, and what to write instead. */
export interface Flaw {
  readonly message: string
  readonly hint?: string
}

const DURATION_UNITS: readonly (readonly [string, number])[] = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
  ['ms', 1],
]

const SIZE_UNITS: readonly (readonly [string, number])[] = [
  ['GiB', 2 ** 30],
  ['MiB', 2 ** 20],
  ['KiB', 2 ** 10],
  ['B', 1],
]

/** Longer than any sensible timeout and still a valid timer argument (2^31 - 1 ms, 24.8 days). */
const MAX_DURATION_MS = 2 ** 31 - 1

/** The pattern of a duration, for schemas. */
export const DURATION_PATTERN = /^\d+(\.\d+)?(ms|s|m|h|d)$/
/** The errors for an invalid duration or size. */
export const EXPECTED_DURATION = 'expected a duration such as 250ms, 5s, 10m, 1h or 1d'
export const EXPECTED_SIZE = 'expected a size such as 512KiB, 1MiB or 1GiB'
/** The pattern of a size, for schemas. */
export const SIZE_PATTERN = /^\d+(\.\d+)?(B|KiB|MiB|GiB)$/

/**
 * Reads `250ms`, `5s`, `1.5m`, `1h`, `1d`.
 * @param maxMs default 2^31 - 1
 * @returns whole milliseconds, or null if the text is not a duration, not a whole number of milliseconds, or above `maxMs`
 */
export function parseDurationMs(text: string, maxMs = MAX_DURATION_MS): number | null {
  return DURATION_PATTERN.test(text) ? scale(text, DURATION_UNITS, maxMs) : null
}

/** Prints milliseconds in the largest unit that gives a whole number: 90000 -> `90s`, 3600000 -> `1h`. */
export function formatDuration(ms: number): string {
  return ms === 0 ? '0s' : print(ms, DURATION_UNITS)
}

/** Reads `512KiB`, `1.5MiB`, `1GiB`, `100B`. Returns whole bytes, or null if the text is not a size or not a whole number of bytes. */
export function parseSizeBytes(text: string): number | null {
  return SIZE_PATTERN.test(text) ? scale(text, SIZE_UNITS, Number.MAX_SAFE_INTEGER) : null
}

/** Prints bytes in the largest unit that gives a whole number: 65536 -> `64KiB`. */
export function formatSize(bytes: number): string {
  return bytes === 0 ? '0B' : print(bytes, SIZE_UNITS)
}

/** Why a text is not a valid duration, or null if it is. */
export function flawOfDuration(text: string): Flaw | null {
  if (parseDurationMs(text) !== null) return null
  if (/^\d+(\.\d+)?$/.test(text)) return { message: EXPECTED_DURATION, hint: `write ${text}s or ${text}ms` }
  if (DURATION_PATTERN.test(text))
    return { message: `invalid duration ${text}: must be whole milliseconds, at most 24d` }
  const meant = durationMeantBy(text)
  return meant === null ? { message: EXPECTED_DURATION } : { message: EXPECTED_DURATION, hint: `write ${meant}` }
}

/** Units as other programs write them. */
const UNIT_WORDS: readonly (readonly [RegExp, string])[] = [
  [/^(?:ms|msecs?|millis|milliseconds?)$/, 'ms'],
  [/^(?:s|secs?|seconds?)$/, 's'],
  [/^(?:m|mins?|minutes?)$/, 'm'],
  [/^(?:h|hrs?|hours?)$/, 'h'],
  [/^(?:d|days?)$/, 'd'],
]

/** The duration in texts such as `5 seconds`, `1h30m` or `PT5S`, for hints. Returns null if there is none. */
function durationMeantBy(text: string): string | null {
  const parts = [
    ...text
      .toLowerCase()
      .slice(0, 40)
      .replace(/^pt/, '')
      .matchAll(/(\d+(?:\.\d+)?)\s*([a-z]+)\s*|./g),
  ]
  let ms = 0
  for (const [, amount, word] of parts) {
    const unit = UNIT_WORDS.find(([words]) => words.test(word ?? ''))?.[1]
    const one = unit === undefined ? null : parseDurationMs(`${amount}${unit}`)
    if (one === null) return null
    ms += one
  }
  return parts.length === 0 || ms > MAX_DURATION_MS ? null : formatDuration(ms)
}

/** Why a text is not a valid size, or null if it is. */
export function flawOfSize(text: string): Flaw | null {
  if (parseSizeBytes(text) !== null) return null
  const message = EXPECTED_SIZE
  const decimal = /^(\d+(?:\.\d+)?)\s*([kmg])(?:i?b)?$/i.exec(text)
  return decimal ? { message, hint: `write ${decimal[1]}${(decimal[2] as string).toUpperCase()}iB` } : { message }
}

/** Why a number is not a valid percent (0 to 100, up to 4 decimals), or null if it is. */
export function flawOfPercent(percent: number): Flaw | null {
  if (!(percent >= 0 && percent <= 100)) return { message: `invalid percent ${percent}: must be 0 to 100` }
  if (percentUnits(percent) / 10_000 !== percent) return { message: `invalid percent ${percent}: at most 4 decimals` }
  return null
}

/** Reads the number in texts such as `5%`, `5 percent`, `0.5` or `2,5`, for hints. Returns null if there is none. */
export function numberMeantBy(text: string): { readonly number: number; readonly isPercent: boolean } | null {
  const [, digits, sign] = /^\s*(\d+(?:[.,]\d+)?)\s*(%|per ?cent)?\s*$/i.exec(text) ?? []
  return digits === undefined ? null : { number: Number(digits.replace(',', '.')), isPercent: sign !== undefined }
}

/** A percent as a whole number of ten-thousandths: 5 -> 50000. Unlike decimals, this is exact in a double. */
export function percentUnits(percent: number): number {
  return Math.round(percent * 10_000)
}

function scale(text: string, units: readonly (readonly [string, number])[], max: number): number | null {
  const unit = (/[a-zA-Z]+$/.exec(text) as RegExpExecArray)[0]
  const factor = (units.find(([name]) => name === unit) as readonly [string, number])[1]
  const exact = Number(text.slice(0, -unit.length)) * factor
  const whole = Math.round(exact)
  // 1.1s is 1100.0000000000002 in doubles: the error of the product is far below a millionth of a unit.
  return Math.abs(exact - whole) < 1e-6 && whole <= max ? whole : null
}

function print(amount: number, units: readonly (readonly [string, number])[]): string {
  for (const [name, factor] of units) if (amount % factor === 0) return `${amount / factor}${name}`
  return `${amount}${(units.at(-1) as readonly [string, number])[0]}`
}
