/**
 * `banyan force-token`: creates a token with which a tester chooses the upstream. Works offline, with the proxy's secret.
 */
import { formatDuration, parseDurationMs } from '../rules/values/units.ts'
import { type Command, type Given, JSON_FLAG } from './command.ts'
import { CommandError, EXIT, type ExitCode, type Io, jsonText } from './io.ts'

const DEFAULT_FOR = '1h'

export const forceToken: Command = {
  name: 'force-token',
  usage: '--upstream NAME [--for TIME]',
  summary: 'create a temporary token that forces requests to an upstream',
  about: [
    'The secret is read from BANYAN_FORCE_SECRET and must be that of the proxy (--force-secret). Forced requests are marked in',
    'the log, do not count towards percentages, and are not cached. Both headers are removed before forwarding.',
  ].join('\n'),
  examples: [
    'banyan force-token --upstream gtin --for 1h',
    'curl -H "Banyan-Upstream: gtin" -H "Banyan-Force: $(banyan force-token --upstream gtin --quiet)" http://127.0.0.1:8080/',
  ],
  flags: {
    upstream: { value: 'NAME', help: 'the upstream to force' },
    for: { value: 'TIME', help: `validity (${DEFAULT_FOR})` },
    quiet: { value: '', help: 'print only the token', short: 'q' },
    ...JSON_FLAG,
  },
  counts: [0, 0],
  run: runForceToken,
}

function runForceToken(given: Given, io: Io): ExitCode {
  const upstream = given.text('upstream')
  const text = given.text('for') ?? DEFAULT_FOR
  const lifetimeMs = parseDurationMs(text)
  if (upstream === undefined) throw new CommandError(EXIT.usage, 'missing --upstream NAME')
  if (lifetimeMs === null || lifetimeMs < 1000) {
    throw new CommandError(EXIT.usage, `--for: invalid duration '${text}': must be at least 1s (such as 30m, 1h)`)
  }
  const secret = io.env.BANYAN_FORCE_SECRET?.trim()
  if (secret === undefined || secret === '') {
    throw new CommandError(EXIT.usage, "set BANYAN_FORCE_SECRET to the proxy's --force-secret")
  }
  const expiresAtMs = Math.floor((io.now() + lifetimeMs) / 1000) * 1000
  const token = tokenOf(io, secret, upstream, expiresAtMs)
  const expiresAt = new Date(expiresAtMs).toISOString()
  if (given.has('json')) io.out(jsonText({ upstream, token, expiresAt }))
  else if (given.has('quiet')) io.out(`${token}\n`)
  else {
    io.out(`Banyan-Upstream: ${upstream}\nBanyan-Force: ${token}\n`)
    io.err(`valid for ${formatDuration(lifetimeMs)}, until ${expiresAt}\n`)
  }
  return EXIT.done
}

function tokenOf(io: Io, secret: string, upstream: string, expiresAtMs: number): string {
  try {
    return io.forceToken(secret, upstream, expiresAtMs)
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    throw new CommandError(EXIT.usage, `BANYAN_FORCE_SECRET: ${error.message}`)
  }
}
