/**
 * Where log lines go: JSON lines on stdout, the access log there too or in a file of its own.
 */
import { destination, type Logger, pino } from 'pino'
import type { AccessLog } from './proxy/observe.ts'
import type { Settings } from './settings.ts'
import { StartError } from './start-error.ts'

/** Bytes of log lines that are gathered before they are written; a tenth of a second at most. */
const BUFFER_BYTES = 8 * 1024
const FLUSH_MS = 100

/** The logs of one process. */
export interface Logs {
  readonly log: Logger
  /** Writes one access-log line, or null where there is no access log. */
  readonly access: AccessLog | null
  /** Writes whole lines that another process has made. @returns whether more may come before `onDrain` */
  lines(text: string): boolean
  /** Calls once what was too much is written. */
  onDrain(listener: () => void): void
  /** Opens the access log's file anew, where there is one: the one before may have been moved away. */
  reopen(): void
  /** Writes what has been gathered. Nothing may be logged afterwards. */
  close(): void
}

type Destination = ReturnType<typeof destination>

/**
 * Opens the logs.
 * @throws {StartError} the access log's file can't be written
 */
export function openLogs(settings: Pick<Settings, 'logLevel' | 'accessLog'>): Logs {
  const stdout = destination({ dest: 1, minLength: BUFFER_BYTES, sync: false })
  const log = loggerTo(stdout, settings.logLevel)
  const destinations = [stdout]
  const files: Destination[] = []
  let access: AccessLog | null = null
  if (settings.accessLog === 'json') access = writerTo(loggerTo(stdout, 'info'))
  else if (settings.accessLog !== 'none') {
    const file = openFile(settings.accessLog.file)
    destinations.push(file)
    files.push(file)
    access = writerTo(loggerTo(file, 'info'))
  }
  const timer = setInterval(() => {
    for (const one of destinations) one.flush()
  }, FLUSH_MS)
  timer.unref()
  const close = (): void => {
    clearInterval(timer)
    for (const one of destinations) one.flushSync()
  }
  return {
    log,
    access,
    lines: (text) => stdout.write(text),
    onDrain: (listener) => void stdout.once('drain', listener),
    reopen: () => {
      for (const file of files) file.reopen()
    },
    close,
  }
}

function loggerTo(stream: Destination, level: string): Logger {
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, stream)
}

function writerTo(logger: Logger): AccessLog {
  return (fields) => logger.info(fields)
}

function openFile(path: string): Destination {
  try {
    // Opened at once, so that a path that can't be written is told before anything is served.
    const file = destination({ dest: path, minLength: BUFFER_BYTES, sync: true })
    file.on('error', () => {
      // A full disk must not end the proxy: lines are lost until there is room.
    })
    return file
  } catch (error) {
    throw new StartError(`--access-log ${path}: ${(error as Error).message}`)
  }
}
