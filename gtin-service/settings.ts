/**
 * The command line of the service: flags into frozen settings, or every mistake at once.
 */
import { hostname } from 'node:os'

/** What the command line asks for. */
export type CommandLine =
  | { readonly kind: 'run'; readonly settings: Settings }
  | { readonly kind: 'help' }
  | { readonly kind: 'mistakes'; readonly mistakes: readonly string[] }

/** The settings of one process. */
export interface Settings {
  readonly host: string
  readonly port: number
  readonly name: string
  readonly drainDelayMs: number
  readonly drainTimeoutMs: number
}

/** One flag: what `--help` says of it, and what it makes of its value: part of the settings, or what is wrong as a text. */
interface Flag {
  readonly value: string
  readonly help: string
  readonly read: (value: string) => Partial<Settings> | string
}

const FLAGS: Record<string, Flag> = {
  '--listen': {
    value: 'HOST:PORT',
    help: 'where to listen; port 0 takes any free one (127.0.0.1:4002)',
    read: readListen,
  },
  '--name': { value: 'NAME', help: 'the instance in answers and errors (the host name)', read: readName },
  '--drain-delay': {
    value: 'TIME',
    help: 'on SIGTERM, how long to go on with health at 503 before the socket closes (1s)',
    read: (value) => readTime(value, (drainDelayMs) => ({ drainDelayMs })),
  },
  '--drain-timeout': {
    value: 'TIME',
    help: 'how long running exchanges may then still take (10s)',
    read: (value) => readTime(value, (drainTimeoutMs) => ({ drainTimeoutMs })),
  },
}

/** The text of `--help`, with a newline at its end. */
export function helpText(): string {
  const flags = Object.entries(FLAGS).map(([flag, { value, help }]) => `  ${`${flag} ${value}`.padEnd(22)}  ${help}\n`)
  return [
    'gtin-service: looks up products by GTIN over HTTP: GET /stores/:storeId/gtins/:gtin\n\n',
    'node gtin-service/main.ts [flags]\n\n',
    ...flags,
    `  ${'--help'.padEnd(22)}  this text\n\n`,
    'TIME is a number with its unit: 250ms, 5s, 1m. SIGTERM and SIGINT drain; a second one ends at once.\n',
  ].join('')
}

/** Reads the arguments after the script's name: `--flag value` or `--flag=value`; the last of one flag wins. */
export function readCommandLine(args: readonly string[]): CommandLine {
  let settings: Settings = {
    host: '127.0.0.1',
    port: 4002,
    name: hostname(),
    drainDelayMs: 1_000,
    drainTimeoutMs: 10_000,
  }
  const mistakes: string[] = []
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] as string
    if (arg === '--help' || arg === '-h') return { kind: 'help' }
    const equals = arg.startsWith('--') ? arg.indexOf('=') : -1
    const word = equals < 0 ? arg : arg.slice(0, equals)
    const flag = Object.hasOwn(FLAGS, word) ? FLAGS[word] : undefined
    if (flag === undefined) {
      mistakes.push(`${word}: unknown ${word.startsWith('-') ? 'flag' : 'argument'} (see --help)`)
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

function readListen(value: string): Partial<Settings> | string {
  const parts = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s/]+)):(\d{1,5})$/.exec(value)
  const port = Number(parts?.[3])
  if (parts === null || port > 65_535) return `expected HOST:PORT such as 127.0.0.1:4002, got "${value}"`
  return { host: parts[1] ?? (parts[2] as string), port }
}

function readName(value: string): Partial<Settings> | string {
  if (value === '' || /\p{Cc}/u.test(value)) return 'expected at least one character, and no control characters'
  return { name: value }
}

const UNITS: Record<string, number> = { ms: 1, s: 1_000, m: 60_000 }

function readTime(value: string, put: (timeMs: number) => Partial<Settings>): Partial<Settings> | string {
  const parts = /^(\d{1,6})(ms|s|m)$/.exec(value)
  const timeMs = Number(parts?.[1]) * (UNITS[parts?.[2] ?? ''] ?? Number.NaN)
  // setTimeout takes 31 bits: what is longer would fire at once.
  if (!(timeMs < 2 ** 31)) return `expected a time such as 250ms or 5s, got "${value}"`
  return put(timeMs)
}
