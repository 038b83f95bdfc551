/**
 * The command line of `sync`: flags into frozen settings, or every mistake at once.
 */
import { type Asked, type Flags, flagLines, readCount, readFlags, readShare, readTime } from '../flags.ts'
import { SYNC_DEFAULTS, type SyncOptions } from './run.ts'

/** The settings of one sync process. */
export interface SyncSettings
  extends Omit<SyncOptions, 'from' | 'folder' | 'signal' | 'onProgress' | 'onEvent' | 'firstWaitMs'> {
  readonly from: URL | null
  readonly data: string
  /** Runs again and again at this interval; null for one run. */
  readonly everyMs: number | null
  /** Prints the report as JSON. */
  readonly json: boolean
  /** How far the process stands back behind others: 0 to 19, as of `nice`. */
  readonly nice: number
}

const FLAGS: Flags<SyncSettings> = {
  from: { value: 'URL', help: 'where the enterprise product answers, such as http://catalog:4001', read: readUrl },
  data: {
    value: 'DIR',
    help: 'the data folder (./gtin-data)',
    read: (data) => (data === '' ? 'expected a folder' : { data }),
  },
  every: {
    value: 'TIME',
    help: 'sync again and again, a tenth earlier or later each time (once)',
    read: (value) => readTime(value, (everyMs) => (everyMs < 1_000 ? 'expected at least 1s' : { everyMs })),
  },
  full: { value: null, help: 'read all products, not only what changed', read: () => ({ full: true }) },
  'full-every': {
    value: 'TIME',
    help: 'read all products where that was last done longer ago (7d)',
    read: (value) => readTime(value, (fullEveryMs) => ({ fullEveryMs })),
  },
  'max-drop': {
    value: 'SHARE',
    help: 'stop where more than this share of the products would be removed (5%)',
    read: (value) => readShare(value, (maxDropShare) => ({ maxDropShare })),
  },
  'max-reject': {
    value: 'SHARE',
    help: 'stop where more than this share of the records is rejected (5%)',
    read: (value) => readShare(value, (maxRejectShare) => ({ maxRejectShare })),
  },
  attempts: {
    value: 'N',
    help: 'failures in a row before a run gives up (8)',
    read: (value) => readCount(value, (attempts) => ({ attempts })),
  },
  'idle-timeout': {
    value: 'TIME',
    help: 'a feed that sends nothing for this long has failed (60s)',
    read: (value) => readTime(value, (idleTimeoutMs) => ({ idleTimeoutMs })),
  },
  'commit-every': {
    value: 'N',
    help: 'records between two commits to disk, at least the feed’s own checkpoint (250000)',
    read: (value) => readCount(value, (commitEvery) => ({ commitEvery })),
  },
  'no-gzip': { value: null, help: 'ask for the feed as it is: less CPU', read: () => ({ gzip: false }) },
  nice: {
    value: 'N',
    help: 'how far to stand back behind other processes, 0 to 19 (10)',
    read: (value) => (/^1?\d$/.test(value) ? { nice: Number(value) } : `expected 0 to 19, got "${value}"`),
  },
  json: { value: null, help: 'print the report as one line of JSON', read: () => ({ json: true }) },
}

/** The text of `sync --help`, with a newline at its end. */
export function syncHelpText(): string {
  return `banyan-gtin sync: copies the products of the enterprise catalog into the data folder of the service

banyan-gtin sync --from URL [flags]

${flagLines(FLAGS)}
The first run reads all products, later ones what changed since. TIME is 5s, 10m, 24h; SHARE is 5%.
A run that was killed goes on where it was. Exit status: 0 done, 1 failed or stopped, 2 bad flags.
`
}

/** Reads the arguments after `sync`. */
export function readSyncCommandLine(args: readonly string[]): Asked<SyncSettings> {
  const { firstWaitMs: _, ...defaults } = SYNC_DEFAULTS
  const first: SyncSettings = { ...defaults, from: null, data: 'gtin-data', everyMs: null, json: false, nice: 10 }
  const asked = readFlags(FLAGS, first, args)
  if (asked.kind === 'help' || args.some((arg) => /^--from(=|$)/.test(arg))) return asked
  const mistakes = asked.kind === 'mistakes' ? asked.mistakes : []
  return { kind: 'mistakes', mistakes: [...mistakes, '--from: must be given'] }
}

function readUrl(value: string): Partial<SyncSettings> | string {
  const from = URL.parse(value)
  if (from !== null && /^https?:$/.test(from.protocol)) return { from }
  return `expected a URL such as http://catalog:4001, got "${value}"`
}
