/**
 * Reads a command line of flags with values, from one table that also makes the help text: every mistake at once.
 */

/** One flag: what `--help` says of it, and what it makes of its value: part of the settings, or what is wrong as a text. */
export interface Flag<Settings> {
  /** The name of the value in the help text; null for a flag that stands alone. */
  readonly value: string | null
  readonly help: string
  /** A flag that stands alone gets ''. */
  readonly read: (value: string) => Partial<Settings> | string
}

export type Flags<Settings> = Readonly<Record<string, Flag<Settings>>>

/** What a command line asks for. */
export type Asked<Settings> =
  | { readonly kind: 'run'; readonly settings: Settings }
  | { readonly kind: 'help' }
  | { readonly kind: 'mistakes'; readonly mistakes: readonly string[] }

/** Reads arguments: `--flag value` or `--flag=value`; the last of one flag wins. */
export function readFlags<Settings extends object>(
  flags: Flags<Settings>,
  defaults: Settings,
  args: readonly string[],
): Asked<Settings> {
  let settings = defaults
  const mistakes: string[] = []
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] as string
    if (arg === '--help' || arg === '-h') return { kind: 'help' }
    const equals = arg.startsWith('--') ? arg.indexOf('=') : -1
    const word = equals < 0 ? arg : arg.slice(0, equals)
    const flag = Object.hasOwn(flags, word) ? flags[word] : undefined
    if (flag === undefined) {
      mistakes.push(`${word}: unknown ${word.startsWith('-') ? 'flag' : 'argument'} (see --help)`)
      continue
    }
    if (flag.value === null) {
      if (equals >= 0) mistakes.push(`${word}: takes no value`)
      settings = { ...settings, ...(flag.read('') as Partial<Settings>) }
      continue
    }
    const value = equals < 0 ? args[++i] : arg.slice(equals + 1)
    if (value === undefined || (equals < 0 && value.startsWith('--'))) {
      mistakes.push(`${word}: a value must follow`)
      if (value !== undefined) i--
      continue
    }
    const read = flag.read(value)
    if (typeof read === 'string') mistakes.push(`${word}: ${read}`)
    else settings = { ...settings, ...read }
  }
  return mistakes.length > 0 ? { kind: 'mistakes', mistakes } : { kind: 'run', settings: Object.freeze(settings) }
}

/** The lines of the help text for flags, `--help` last. */
export function flagLines<Settings>(flags: Flags<Settings>): string {
  const rows = Object.entries(flags).map(([flag, { value, help }]) => [
    value === null ? flag : `${flag} ${value}`,
    help,
  ])
  rows.push(['--help', 'this text'])
  const width = Math.max(...rows.map(([words]) => (words as string).length))
  return rows.map(([words, help]) => `  ${(words as string).padEnd(width)}  ${help}\n`).join('')
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** Reads a time such as `250ms`, `5s`, `24h`; `put` makes a part of the settings of its milliseconds. */
export function readTime<Part>(value: string, put: (timeMs: number) => Part): Part | string {
  const parts = /^(\d{1,6})(ms|s|m|h|d)$/.exec(value)
  const timeMs = Number(parts?.[1]) * (UNITS[parts?.[2] ?? ''] ?? Number.NaN)
  // setTimeout takes 31 bits: what is longer would fire at once.
  if (!(timeMs < 2 ** 31)) return `expected a time such as 250ms or 5s, got "${value}"`
  return put(timeMs)
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

const SIZES: Readonly<Record<string, number>> = { KiB: 1_024, MiB: 1_048_576, GiB: 1_073_741_824 }

/** Reads a size such as `64MiB`, or 0; `put` makes a part of the settings of its bytes. */
export function readSize<Part>(value: string, put: (bytes: number) => Part): Part | string {
  const parts = /^(\d{1,6})(KiB|MiB|GiB)$/.exec(value)
  if (parts === null && value !== '0') return `expected a size such as 64MiB, or 0, got "${value}"`
  return put(parts === null ? 0 : Number(parts[1]) * (SIZES[parts[2] as string] as number))
}
