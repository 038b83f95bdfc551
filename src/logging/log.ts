/**
 * The logs: JSON lines on stdout; the access log on stdout or in its own file.
 */
import { type Logger, pino } from 'pino'
import type { AccessSink } from '../proxy/observe.ts'
import { escapedJson } from '../rules/values/unprintable.ts'
import type { Settings } from '../settings/settings.ts'
import { StartError } from '../start-error.ts'
import { accessLine, exchangeLine, isoTime, LineBatch } from './access-lines.ts'
import { complain, LineFile, openStdout } from './outputs.ts'

/** Lines are gathered for so long before they are written. */
const FLUSH_MS = 100

/** A reader that takes nothing for so long gets no more at the end. */
const LAST_LINES_MS = 2000

/** The logs of one process. */
export interface Logs {
  readonly log: Logger
  /** Writes access-log lines, or null where there is no access log. */
  readonly access: AccessSink | null
  /** Writes whole lines that another part, or another process, has made. @returns whether more may come before `onDrain` */
  lines(text: string): boolean
  /** Calls once what was too much is written. */
  onDrain(listener: () => void): void
  /** Reopens the access log file, if there is one, after rotation. */
  reopen(): void
  /** Writes what has been gathered, as far as it is taken in time. */
  close(): Promise<void>
}

/**
 * Opens the logs. Write errors are not fatal: lines are dropped, which is reported in the other log or on stderr.
 * @throws {StartError} if the access log file can't be opened
 */
export function openLogs(settings: Pick<Settings, 'logLevel' | 'accessLog'>): Logs {
  const stdout = openStdout(({ code }) => complain(`cannot write to stdout (${code}): dropping log lines`))
  const batch = new LineBatch((lines) => stdout.write(lines))
  const log = pino(
    { level: settings.logLevel, base: null, timestamp: pino.stdTimeFunctions.isoTime },
    {
      write: (line: string) => batch.add(escapedJson(line)),
    },
  )
  const file = typeof settings.accessLog === 'string' ? null : openFile(settings.accessLog.file, log)
  const fileBatch = file === null ? null : new LineBatch((lines) => file.write(lines))
  const accessBatch = fileBatch ?? (settings.accessLog === 'none' ? null : batch)
  const flush = (): void => {
    fileBatch?.flush()
    batch.flush()
  }
  const timer = setInterval(flush, FLUSH_MS)
  timer.unref()
  process.once('exit', flush)
  return {
    log,
    access: accessBatch === null ? null : sinkTo(accessBatch),
    lines: (text) => {
      batch.flush()
      return stdout.write(Buffer.from(text))
    },
    onDrain: (listener) => stdout.onDrain(listener),
    reopen: () => {
      fileBatch?.flush()
      file?.reopen()
    },
    close: async () => {
      clearInterval(timer)
      flush()
      const written = [stdout, file].map(
        (output) => new Promise<void>((done) => (output === null ? done() : output.onDrain(done))),
      )
      await Promise.race([Promise.all(written), new Promise((late) => setTimeout(late, LAST_LINES_MS))])
    },
  }
}

function sinkTo(batch: LineBatch): AccessSink {
  return {
    exchange: (exchange, durationMs) => batch.add(exchangeLine(isoTime(Date.now()), exchange, durationMs)),
    refusal: (fields) => batch.add(accessLine(isoTime(Date.now()), fields)),
  }
}

function openFile(path: string, log: Logger): LineFile {
  try {
    // Opened at once, so that a bad path is reported before serving.
    return new LineFile(path, ({ code }) => {
      log.error({ event: 'access-log', code }, `cannot write to ${path}: dropping access log lines`)
    })
  } catch (error) {
    throw new StartError(`--access-log ${path}: ${(error as Error).message}`)
  }
}
