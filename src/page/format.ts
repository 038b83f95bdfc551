/**
 * Numbers and times for people.
 */

/** A share in percent, such as `0.04 %`, and not all before it is all. @param percent 0 to 100, or null where nothing is known */
export function percentText(percent: number | null | undefined): string {
  if (percent === null || percent === undefined) return '–'
  if (percent > 0 && percent < 0.001) return `${Math.max(0.0001, Number(percent.toFixed(4)))} %`
  // Not all yet.
  const isNearlyAll = percent > 99.9 && percent < 100
  return `${isNearlyAll ? Math.floor(percent * 100) / 100 : short(percent)} %`
}

/** A percent of the table, to its last digit. */
export function askedText(percent: number): string {
  return `${percent} %`
}

/** @param ratio 0 to 1 */
export function ratioText(ratio: number | null | undefined): string {
  return percentText(ratio === null || ratio === undefined ? null : ratio * 100)
}

export function msText(ms: number | null | undefined): string {
  if (ms === null || ms === undefined) return '–'
  return ms < 1000 ? `${short(ms)} ms` : `${short(ms / 1000)} s`
}

export function rateText(perSecond: number | null | undefined): string {
  return perSecond === null || perSecond === undefined ? '–' : `${short(perSecond)}/s`
}

/** Days of the calendar where an axis is longer than some days. @param seconds since the epoch */
export function tickText(seconds: number, stepSeconds: number): string {
  const at = new Date(seconds * 1000)
  if (stepSeconds >= 86_400) return dayText(at.toISOString())
  return stepSeconds >= 60 ? clockText(seconds).slice(0, 5) : clockText(seconds)
}

/** Such as `30 Nov`. */
export function dayText(iso: string): string {
  return new Date(iso).toLocaleDateString('en-GB', { day: 'numeric', month: 'short' })
}

export function countText(count: number): string {
  return count.toLocaleString('en')
}

export function bytesText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  const at = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10))
  return `${short(bytes / 2 ** (10 * at))} ${units[at]}`
}

/** Three digits at most, none that says nothing. */
function short(value: number): string {
  if (value === 0) return '0'
  if (Math.abs(value) < 0.001) return '<0.001'
  return Number(value.toPrecision(value >= 100 ? Math.ceil(Math.log10(value + 1)) : 3)).toString()
}

/** A point in time, in the reader's own time zone. */
export function timeText(iso: string | null | undefined): string {
  if (iso === null || iso === undefined) return '–'
  const at = new Date(iso)
  const isToday = at.toDateString() === new Date().toDateString()
  const clock = clockText(at.getTime() / 1000)
  return isToday ? clock : `${at.toLocaleDateString('en-CA')} ${clock}`
}

/** Hours, minutes and seconds, as `timeText` has them. @param seconds since the epoch */
export function clockText(seconds: number): string {
  return new Date(seconds * 1000).toLocaleTimeString('en-GB')
}

export function durationText(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined) return '–'
  if (seconds < 120) return `${Math.floor(seconds)} s`
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`
  return `${Math.floor(seconds / 3600)} h`
}
