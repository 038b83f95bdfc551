/**
 * `banyan force-token`: creates a token with which a tester chooses the upstream. Works offline, with the proxy's secret.
 */
import { formatDuration, parseDurationMs } from '../rules/values/units.ts'
import { type Command, type Given, JSON_FLAG } from './command.ts'
import { CommandError, EXIT, type ExitCode, type Io, jsonText } from './io.ts'

const DEFAULT_FOR = '1h'

export const forceToken: Command = {
  name: 'force-token',
  usage: '--upstream NAME [--for TIME] [--link URL]',
  summary: 'create a temporary token that forces requests to an upstream',
  about: [
    'The secret is read from BANYAN_FORCE_SECRET and must be that of the proxy (--force-secret). Forced requests are marked in',
    'the log, do not count towards percentages, and are not cached. Both headers are removed before forwarding.',
    'With --link it prints a link for a browser, which works while the proxy runs with --force-by-link.',
  ].join('\n'),
  examples: [
    'banyan force-token --upstream gtin --for 1h',
    'curl -H "Banyan-Upstream: gtin" -H "Banyan-Force: $(banyan force-token --upstream gtin --quiet)" http://127.0.0.1:8080/',
  ],
  flags: {
    upstream: { value: 'NAME', help: 'the upstream to force' },
    link: { value: 'URL', help: 'print a link that forces it in a browser, and goes on to this URL' },
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
  const link = linkOf(given.text('link'), upstream, token)
  if (given.has('json')) io.out(jsonText({ upstream, token, expiresAt, ...(link !== null && { link }) }))
  else if (link !== null) io.out(`${link}\n`)
  else if (given.has('quiet')) io.out(`${token}\n`)
  else {
    io.out(`Banyan-Upstream: ${upstream}\nBanyan-Force: ${token}\n`)
    io.err(`valid for ${formatDuration(lifetimeMs)}, until ${expiresAt}\n`)
  }
  return EXIT.done
}

function linkOf(text: string | undefined, upstream: string, token: string): string | null {
  if (text === undefined) return null
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new CommandError(EXIT.usage, `--link: invalid URL '${text}': expected http://HOST/PATH or https://HOST/PATH`)
  }
  const query = new URLSearchParams({ upstream, token, to: url.pathname + url.search })
  return `${url.origin}/.well-known/banyan/force?${query}`
}

function tokenOf(io: Io, secret: string, upstream: string, expiresAtMs: number): string {
  try {
    return io.forceToken(secret, upstream, expiresAtMs)
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    throw new CommandError(EXIT.usage, `BANYAN_FORCE_SECRET: ${error.message}`)
  }
}
