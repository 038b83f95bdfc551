/**
 * Command lines: a table of flags, which also makes the help text, turns arguments into settings, or tells every mistake.
 */
import { parseArgs } from 'node:util'

/** One flag. `T` is what its value becomes. */
export interface Flag<T> {
  /** The name of the value in the help text; null for a flag that stands alone. */
  readonly value: string | null
  readonly help: string
  /** Throws an Error that tells what was expected. */
  readonly read: (text: string) => T
  /** Undefined where the flag must be given. */
  readonly otherwise: T | undefined
}

/** By the flag's name, without its hyphens. */
type Flags = Readonly<Record<string, Flag<unknown>>>

/** What a table of flags reads: a value for each. */
export type Settings<F extends Flags> = { readonly [Name in keyof F]: F[Name] extends Flag<infer T> ? T : never }

/** What a command line asks for. With mistakes, the settings are not to be used. */
export interface Asked<F extends Flags> {
  readonly settings: Settings<F>
  readonly mistakes: readonly string[]
  readonly wantsHelp: boolean
}

/** A flag with a value. */
export function flag<T>(value: string, read: (text: string) => T, otherwise: T | undefined, help: string): Flag<T> {
  return { value, help, read, otherwise }
}

/** A flag that stands alone: given or not. */
export function toggle(help: string): Flag<boolean> {
  return { value: null, help, read: () => true, otherwise: false }
}

/** Reads arguments: `--flag value` or `--flag=value`; the last of one flag wins. */
export function readFlags<F extends Flags>(flags: F, args: readonly string[]): Asked<F> {
  const kinds = Object.entries(flags).map(([name, { value }]) => [
    name,
    { type: value === null ? 'boolean' : 'string' },
  ])
  const settings: Record<string, unknown> = {}
  const mistakes: string[] = []
  let given: Record<string, unknown> = {}
  const attempt = (name: string, read: () => void): void => {
    try {
      read()
    } catch (error) {
      mistakes.push(`${name}${(error as Error).message.split('\n')[0]}`)
    }
  }
  attempt('', () => {
    const options = { ...Object.fromEntries(kinds), help: { type: 'boolean', short: 'h' } }
    given = parseArgs({ args: [...args], options }).values
  })
  for (const [name, { read, otherwise }] of Object.entries(flags)) {
    attempt(`--${name}: `, () => {
      settings[name] = given[name] === undefined ? otherwise : read(String(given[name]))
      if (settings[name] === undefined) throw new Error('must be given')
    })
  }
  return { settings: settings as Settings<F>, mistakes, wantsHelp: given.help === true }
}

/** The lines of the help text for flags, `--help` last. */
export function flagLines(flags: Flags): string {
  const rows = Object.entries(flags).map(([name, { value, help }]) => [`--${name} ${value ?? ''}`.trim(), help])
  rows.push(['--help', 'this text'])
  const width = Math.max(...rows.map(([words = '']) => words.length))
  return rows.map(([words = '', help]) => `  ${words.padEnd(width)}  ${help}\n`).join('')
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** Reads a time such as `250ms`, `5s`, `24h` as milliseconds. */
export function readTime(text: string): number {
  const [, count, unit = ''] = /^(\d{1,6})(ms|s|m|h|d)$/.exec(text) ?? []
  const timeMs = Number(count) * (UNITS[unit] ?? Number.NaN)
  // setTimeout takes 31 bits: what is longer would fire at once.
  if (timeMs < 2 ** 31) return timeMs
  throw new Error(`expected a time such as 250ms or 5s, got "${text}"`)
}

/** Reads a folder's name. */
export function readFolder(text: string): string {
  if (text === '') throw new Error('expected a folder')
  return text
}
