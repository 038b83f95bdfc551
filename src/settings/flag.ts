/**
 * What a flag of `banyan serve` is, and how values that several flags share are read.
 */
import { flawOfDuration, flawOfSize, parseDurationMs, parseSizeBytes } from '../rules/values/units.ts'

/** An invalid setting. The message names the flag and what to write. */
export class SettingsError extends Error {}

export interface Flag<T> {
  /** As in the help: `HOST:PORT`; '' for a boolean flag. */
  readonly value: string
  readonly fallback: string
  readonly help: string
  /** @throws {SettingsError} if the text is invalid; the message omits the flag */
  read(text: string): T
  /** The flag without which it would do nothing: then it is refused, unless it says the default. */
  readonly needs?: string
}

export type Flags = Readonly<Record<string, Flag<unknown>>>

/** What was read for each of these flags. */
export type ValuesOf<Some extends Flags> = { readonly [Name in keyof Some]: ReturnType<Some[Name]['read']> }

export type Environment = Readonly<Record<string, string | undefined>>

export function notEmpty(text: string): string {
  if (text === '') throw new SettingsError('must not be empty')
  return text
}

export function orNull(text: string): string | null {
  return text === '' ? null : text
}

export function readList(text: string): readonly string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')
}

export function readSize(text: string): number {
  const bytes = parseSizeBytes(text)
  if (bytes === null || bytes <= 0)
    throw new SettingsError(`invalid size '${text}' (${flawOfSize(text)?.hint ?? 'such as 512KiB, 64MiB'})`)
  return bytes
}

export function readDuration(text: string): number {
  const ms = parseDurationMs(text)
  if (ms === null)
    throw new SettingsError(`invalid duration '${text}' (${flawOfDuration(text)?.hint ?? 'such as 250ms, 30s'})`)
  return ms
}

export function readCount(text: string): number {
  if (!/^[1-9][0-9]{0,8}$/.test(text)) throw new SettingsError(`invalid number '${text}': must be an integer above 0`)
  return Number(text)
}

export function readWhole(text: string): number {
  if (!/^(?:0|[1-9][0-9]{0,5})$/.test(text)) throw new SettingsError(`invalid number '${text}': must be an integer`)
  return Number(text)
}

export function readYesNo(text: string): boolean {
  if (/^(?:true|1|yes)$/i.test(text)) return true
  if (/^(?:false|0|no|)$/i.test(text)) return false
  throw new SettingsError(`invalid value '${text}': must be true or false`)
}
