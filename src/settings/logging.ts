/**
 * Logs and traces.
 */
import { type Environment, type Flags, notEmpty, SettingsError, type ValuesOf } from './flag.ts'
import { fromEnvironment, OtlpError, type OtlpSettings, readCollector, readShare } from './otlp.ts'

export interface LogSettings {
  readonly accessLog: 'json' | 'none' | { readonly file: string }
  readonly logLevel: string
  /** Where spans of exchanges are sent; null for nowhere. */
  readonly otlp: OtlpSettings | null
}

const LOG_LEVELS = ['debug', 'info', 'warn', 'error']

export const LOG_FLAGS = {
  'access-log': {
    value: 'json|none|FILE',
    fallback: 'json',
    help: 'access log: one JSON line per request, to stdout or a file',
    read: readAccessLog,
  },
  'log-level': { value: 'LEVEL', fallback: 'info', help: `log level: ${LOG_LEVELS.join(', ')}`, read: readLogLevel },
  otlp: {
    value: 'URL',
    fallback: '',
    help: 'OpenTelemetry collector for spans of exchanges, over HTTP: http://127.0.0.1:4318',
    read: (text: string) => told(() => readCollector(text)),
  },
  'otlp-sample': {
    value: 'PERCENT',
    fallback: '100',
    help: 'share of exchanges to trace; if a trusted proxy sends traceparent, it decides',
    read: (text: string) => told(() => readShare(text)),
    needs: 'otlp',
  },
} as const satisfies Flags

/** @throws {SettingsError} for a variable of OpenTelemetry that can't be used */
export function logSettings(values: ValuesOf<typeof LOG_FLAGS>, env: Environment): LogSettings {
  const { otlp: url, 'otlp-sample': share } = values
  return {
    accessLog: values['access-log'],
    logLevel: values['log-level'],
    otlp: url === null ? null : told(() => ({ url, share, ...fromEnvironment(env) })),
  }
}

/** @throws {SettingsError} for a value that can't be used */
function told<Value>(read: () => Value): Value {
  try {
    return read()
  } catch (error) {
    throw error instanceof OtlpError ? new SettingsError(error.message) : error
  }
}

function readAccessLog(text: string): LogSettings['accessLog'] {
  if (text === 'json' || text === 'none') return text
  return { file: notEmpty(text) }
}

function readLogLevel(text: string): string {
  if (!LOG_LEVELS.includes(text))
    throw new SettingsError(`invalid level '${text}': must be one of ${LOG_LEVELS.join(', ')}`)
  return text
}
