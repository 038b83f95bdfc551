/**
 * Where log lines go: JSON lines on stdout, the access log there too or in a file of its own.
 */
import { destination, type Logger, pino } from 'pino'
import type { AccessSink } from '../proxy/observe.ts'
import type { Settings } from '../settings.ts'
import { StartError } from '../start-error.ts'
import { accessLine, exchangeLine, isoTime, LineBatch, LineFile } from './access-lines.ts'

/** Bytes of log lines that are gathered before they are written; a tenth of a second at most. */
const BUFFER_BYTES = 8 * 1024
const FLUSH_MS = 100

/** Bytes of a log that nobody takes from stdout; what comes beyond is dropped rather than filling the memory. */
const MAX_UNREAD_BYTES = 16 * 1024 * 1024

/** A reader of stdout that takes nothing for so long gets no more at the end. */
const LAST_LINES_MS = 2000

/** The logs of one process. */
export interface Logs {
  readonly log: Logger
  /** Writes access-log lines, or null where there is no access log. */
  readonly access: AccessSink | null
  /** Writes whole lines that another process has made. @returns whether more may come before `onDrain` */
  lines(text: string): boolean
  /** Calls once what was too much is written. */
  onDrain(listener: () => void): void
  /** Opens the access log's file anew, where there is one: the one before may have been moved away. */
  reopen(): void
  /** Writes what has been gathered, as far as stdout takes it in time. Nothing may be logged afterwards. */
  close(): Promise<void>
}

type Destination = ReturnType<typeof destination>

/**
 * Opens the logs.
 * @throws {StartError} the access log's file can't be written
 */
export function openLogs(settings: Pick<Settings, 'logLevel' | 'accessLog'>): Logs {
  const stdout = destination({ dest: 1, minLength: BUFFER_BYTES, maxLength: MAX_UNREAD_BYTES, sync: false })
  const log = loggerTo(stdout, settings.logLevel)
  const file = typeof settings.accessLog === 'string' ? null : openFile(settings.accessLog.file, log)
  const sink = (lines: Buffer): void => {
    if (file === null) stdout.write(lines.toString())
    else file.write(lines)
  }
  const batch = settings.accessLog === 'none' ? null : new LineBatch(sink)
  const timer = setInterval(() => {
    batch?.flush()
    stdout.flush()
  }, FLUSH_MS)
  timer.unref()
  let closed = false
  // Not once `close` has begun: a write that is under way and one from here would mix their bytes.
  process.once('exit', () => {
    if (closed) return
    batch?.flush()
    stdout.flushSync()
  })
  return {
    log,
    access: batch === null ? null : sinkTo(batch),
    lines: (text) => stdout.write(text),
    onDrain: (listener) => void stdout.once('drain', listener),
    reopen: () => {
      batch?.flush()
      file?.reopen()
    },
    close: async () => {
      closed = true
      clearInterval(timer)
      batch?.flush()
      await written(stdout)
    },
  }
}

function sinkTo(batch: LineBatch): AccessSink {
  return {
    exchange: (exchange, durationMs) => batch.add(exchangeLine(isoTime(Date.now()), exchange, durationMs)),
    refusal: (fields) => batch.add(accessLine(isoTime(Date.now()), fields)),
  }
}

/** Resolves when all is written, or nobody takes it. */
function written(stream: Destination): Promise<void> {
  return new Promise((resolve) => {
    const late = setTimeout(resolve, LAST_LINES_MS)
    stream.flush(() => {
      clearTimeout(late)
      resolve()
    })
  })
}

function loggerTo(stream: Destination, level: string): Logger {
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, stream)
}

function openFile(path: string, log: Logger): LineFile {
  try {
    // Opened at once, so that a path that can't be written is told before anything is served.
    return new LineFile(path, ({ code }) => {
      log.error({ event: 'access-log', code }, `${path} can't be written: its lines are lost until it can`)
    })
  } catch (error) {
    throw new StartError(`--access-log ${path}: ${(error as Error).message}`)
  }
}
