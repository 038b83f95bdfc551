/**
 * The flag `--since`: a duration until now, or a time.
 */
import { durationOf } from './command.ts'
import { CommandError, EXIT, type Io } from './io.ts'

/** The time that a text names, as RFC 3339; a duration as it is. Days begin at midnight here. @throws {CommandError} if it is neither duration nor time */
export function sinceOf(text: string, io: Pick<Io, 'now'>): string {
  const day = { today: 0, yesterday: 1 }[text]
  if (day !== undefined) {
    const date = new Date(io.now())
    return new Date(date.getFullYear(), date.getMonth(), date.getDate() - day).toISOString()
  }
  if (/^\d{4}-\d{2}-\d{2}/.test(text)) {
    // A date alone is midnight here, not in Greenwich.
    const at = new Date(/^[\d-]{10}$/.test(text) ? `${text}T00:00` : text)
    if (!Number.isNaN(at.getTime())) return at.toISOString()
    throw new CommandError(EXIT.usage, `--since ${text}: expected a time such as 2026-11-29T08:00`)
  }
  durationOf('since', text)
  return text
}

/** The same as a query that takes durations only: `?since=90s`, or nothing without a text. @throws {CommandError} */
export function sinceQuery(text: string | undefined, io: Pick<Io, 'now'>): string {
  if (text === undefined) return ''
  const since = sinceOf(text, io)
  const isTime = since.endsWith('Z')
  const duration = isTime ? `${Math.max(1, Math.ceil((io.now() - Date.parse(since)) / 1000))}s` : since
  return `?since=${encodeURIComponent(duration)}`
}
