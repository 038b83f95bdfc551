/**
 * Reads a command line of flags with values, from one table that also makes the help text: every mistake at once.
 */
import { parseArgs } from 'node:util'

/** One flag: what `--help` says of it, and what it makes of its value: part of the settings, or what is wrong as a text. */
export interface Flag<Settings> {
  /** The name of the value in the help text; null for a flag that stands alone. */
  readonly value: string | null
  readonly help: string
  readonly read: (value: string) => Partial<Settings> | string
}

/** By the flag's name, without its hyphens. */
export type Flags<Settings> = Readonly<Record<string, Flag<Settings>>>

/** What a command line asks for. */
export type Asked<Settings> =
  | { readonly kind: 'run'; readonly settings: Settings }
  | { readonly kind: 'help' }
  | { readonly kind: 'mistakes'; readonly mistakes: readonly string[] }

/** Reads arguments: `--flag value` or `--flag=value`; the last of one flag wins. */
export function readFlags<S extends object>(flags: Flags<S>, defaults: S, args: readonly string[]): Asked<S> {
  const kinds = Object.entries(flags).map(([name, { value }]) => [
    name,
    { type: value === null ? 'boolean' : 'string' },
  ])
  const options = { ...Object.fromEntries(kinds), help: { type: 'boolean', short: 'h' } }
  const { tokens } = parseArgs({ args: [...args], options, strict: false, allowPositionals: true, tokens: true })
  let settings = defaults
  const mistakes: string[] = []
  for (const token of tokens) {
    if (token.kind === 'positional') mistakes.push(`${token.value}: unknown argument (see --help)`)
    if (token.kind !== 'option') continue
    if (token.name === 'help') return { kind: 'help' }
    const flag = Object.hasOwn(flags, token.name) ? flags[token.name] : undefined
    const read = flag === undefined ? 'unknown flag (see --help)' : readOne(flag, token.value)
    if (typeof read === 'string') mistakes.push(`${token.rawName}: ${read}`)
    else settings = { ...settings, ...read }
  }
  return mistakes.length > 0 ? { kind: 'mistakes', mistakes } : { kind: 'run', settings: Object.freeze(settings) }
}

function readOne<S>(flag: Flag<S>, value: string | undefined): Partial<S> | string {
  if (flag.value === null) return value === undefined ? flag.read('') : 'takes no value'
  return value === undefined || value.startsWith('--') ? 'a value must follow' : flag.read(value)
}

/** The lines of the help text for flags, `--help` last. */
export function flagLines<S>(flags: Flags<S>): string {
  const rows = Object.entries(flags).map(([name, { value, help }]) => [`--${name} ${value ?? ''}`.trim(), help])
  rows.push(['--help', 'this text'])
  const width = Math.max(...rows.map(([words = '']) => words.length))
  return rows.map(([words = '', help]) => `  ${words.padEnd(width)}  ${help}\n`).join('')
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** Reads a time such as `250ms`, `5s`, `24h`; `put` makes a part of the settings of its milliseconds. */
export function readTime<Part>(value: string, put: (timeMs: number) => Part): Part | string {
  const parts = /^(\d{1,6})(ms|s|m|h|d)$/.exec(value)
  const timeMs = Number(parts?.[1]) * (UNITS[parts?.[2] ?? ''] ?? Number.NaN)
  // setTimeout takes 31 bits: what is longer would fire at once.
  return timeMs < 2 ** 31 ? put(timeMs) : `expected a time such as 250ms or 5s, got "${value}"`
}

/** Reads a share such as `5%`; `put` makes a part of the settings of it, 0 to 1. */
export function readShare<Part>(value: string, put: (share: number) => Part): Part | string {
  const percent = Number(/^(\d{1,3}(?:\.\d{1,4})?)%$/.exec(value)?.[1])
  return percent <= 100 ? put(percent / 100) : `expected a share such as 5%, got "${value}"`
}

/** Reads a whole number from 1 up; `put` makes a part of the settings of it. */
export function readCount<Part>(value: string, put: (count: number) => Part): Part | string {
  const count = /^\d{1,9}$/.test(value) ? Number(value) : 0
  return count >= 1 ? put(count) : `expected a whole number from 1 up, got "${value}"`
}
