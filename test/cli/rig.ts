/**
 * The command line without a process: what it prints and how it ends, with surroundings of the test's own.
 */
import { readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Io } from '../../src/cli/io.ts'
import { commandsWith, runCommand } from '../../src/cli/run.ts'
import { findTlsFlaws } from '../../src/control/table/tls-files.ts'
import { settingsFlags } from '../../src/settings/settings.ts'
import { makeForceToken } from '../../src/state/force-token.ts'

export interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

export interface Surroundings {
  readonly env?: Record<string, string>
  readonly colours?: boolean
  readonly timeoutMs?: number
  readonly now?: () => number
  /** What waiting is. */
  readonly sleep?: Io['sleep']
  /** What the operator's commands do. */
  readonly run?: Io['run']
  readonly readFile?: Io['readFile']
  /** The size of the terminal; default: there is none. */
  readonly terminal?: Io['terminal']
  /** Who is asked; default: nobody is there. */
  readonly ask?: Io['ask']
  /** When the person ends it; default: never. */
  readonly ended?: AbortSignal
  /** Gets what interrupts the command. */
  readonly onInterrupt?: Io['onInterrupt']
  /** Files by path, besides those on disk. */
  readonly files?: Record<string, string>
}

/** Runs `banyan WORDS...`. */
export async function banyan(
  words: readonly string[],
  {
    env = {},
    colours = false,
    files = {},
    timeoutMs = 120_000,
    now = () => 1_000_500,
    sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    run = async () => 0,
    terminal = () => null,
    ask = async () => null,
    ended = new AbortController().signal,
    readFile = (path) => readFileSync(path, 'utf8'),
    onInterrupt = () => {},
  }: Surroundings = {},
): Promise<Ended> {
  let [out, err] = ['', '']
  const io: Io = {
    out: (text) => {
      out += text
    },
    err: (text) => {
      err += text
    },
    colours: { out: colours, err: colours },
    terminal,
    ask,
    untilEnded: () => ended,
    env,
    readFile: (path) => files[path] ?? readFile(path),
    findingsHere: (table, file) => findTlsFlaws(table, dirname(file)),
    forceToken: makeForceToken,
    now,
    sleep,
    run,
    onInterrupt,
    timeoutMs,
  }
  const [name = '', ...args] = words
  const code = await runCommand(commandsWith(settingsFlags()), name, args, io)
  return { code, out, err }
}

export const TABLE = `version: 1
upstreams:
  legacy: { servers: [http://127.0.0.1:4001] }
  gtin: { servers: [http://127.0.0.1:4002] }
default: legacy
routes:
  - id: gtin-lookup
    match: { path: /stores/:storeId/gtins/:gtin, methods: [GET] }
    to: gtin
    percent: 50
    sticky: [cookie:sid, param:gtin]
    fallback: {}
  - id: stores
    match: { path: /stores/* }
    to: gtin
    percent: 10
`
