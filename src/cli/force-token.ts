/**
 * `banyan force-token`: a token that lets a tester name the upstream that answers. Needs no proxy, only its secret.
 */
import { formatDuration, parseDurationMs } from '../rules/values/units.ts'
import { type Command, type Given, JSON_FLAG } from './command.ts'
import { CommandError, EXIT, type ExitCode, type Io, jsonText } from './io.ts'

const DEFAULT_FOR = '1h'

export const forceToken: Command = {
  name: 'force-token',
  usage: '--upstream NAME [--for TIME]',
  summary: 'make a token that sends requests to an upstream of your choice, for a while',
  about: [
    'The secret comes from BANYAN_FORCE_SECRET and must be that of the proxy (--force-secret). A forced exchange is marked in',
    'the log, counts for no share, and its answer is not cached. Both fields are removed before forwarding.',
  ].join('\n'),
  examples: [
    'banyan force-token --upstream gtin --for 1h',
    'curl -H "Banyan-Upstream: gtin" -H "Banyan-Force: $(banyan force-token --upstream gtin --quiet)" http://127.0.0.1:8080/',
  ],
  flags: {
    upstream: { value: 'NAME', help: 'the upstream that it is good for' },
    for: { value: 'TIME', help: `how long it is good (${DEFAULT_FOR})` },
    quiet: { value: '', help: 'print the token, and nothing else', short: 'q' },
    ...JSON_FLAG,
  },
  counts: [0, 0],
  run: runForceToken,
}

function runForceToken(given: Given, io: Io): ExitCode {
  const upstream = given.text('upstream')
  const text = given.text('for') ?? DEFAULT_FOR
  const lifetimeMs = parseDurationMs(text)
  if (upstream === undefined) throw new CommandError(EXIT.usage, 'which upstream? --upstream NAME')
  if (lifetimeMs === null || lifetimeMs < 1000) {
    throw new CommandError(EXIT.usage, `--for: '${text}' is no duration of a second or more (as in 30m, 1h)`)
  }
  const secret = io.env.BANYAN_FORCE_SECRET
  if (secret === undefined || secret === '') {
    throw new CommandError(EXIT.usage, "set BANYAN_FORCE_SECRET to the proxy's --force-secret")
  }
  const expiresAtMs = Math.floor((io.now() + lifetimeMs) / 1000) * 1000
  const token = io.forceToken(secret, upstream, expiresAtMs)
  const expiresAt = new Date(expiresAtMs).toISOString()
  if (given.has('json')) io.out(jsonText({ upstream, token, expiresAt }))
  else if (given.has('quiet')) io.out(`${token}\n`)
  else {
    io.out(`Banyan-Upstream: ${upstream}\nBanyan-Force: ${token}\n`)
    io.err(`good for ${formatDuration(lifetimeMs)}, until ${expiresAt}\n`)
  }
  return EXIT.done
}
