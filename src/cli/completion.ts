/**
 * `banyan completion`: shell completion of commands and flags, generated from the same definitions as the help.
 */
import type { Command, Given } from './command.ts'
import { CommandError, EXIT, type ExitCode, type Io } from './io.ts'

const SHELLS = ['bash', 'zsh', 'fish'] as const

/** The command. It completes the names and flags of `others`. */
export function completionOf(others: () => readonly Command[]): Command {
  return {
    name: 'completion',
    usage: 'bash | zsh | fish',
    summary: 'print the shell completion script',
    about: '',
    examples: [
      'source <(banyan completion bash)',
      'banyan completion zsh > ~/.zfunc/_banyan',
      'banyan completion fish > ~/.config/fish/completions/banyan.fish',
    ],
    flags: {},
    counts: [1, 1],
    run: (given: Given, io: Io): ExitCode => {
      io.out(scriptFor(given.args[0] as string, others()))
      return EXIT.done
    },
  }
}

function scriptFor(shell: string, commands: readonly Command[]): string {
  switch (shell) {
    case 'bash':
      return bash(commands)
    case 'zsh':
      return `#compdef banyan\nautoload -U +X bashcompinit && bashcompinit\n${bash(commands)}`
    case 'fish':
      return fish(commands)
    default:
      throw new CommandError(EXIT.usage, `unknown shell '${shell}': must be one of ${SHELLS.join(', ')}`)
  }
}

function flagsOf(command: Command): string[] {
  return [...Object.keys(command.flags), 'help'].map((flag) => `--${flag}`)
}

function bash(commands: readonly Command[]): string {
  const cases = commands.map((command) => `    ${command.name}) words="${flagsOf(command).join(' ')}" ;;`)
  return `_banyan() {
  local words="${commands.map(({ name }) => name).join(' ')} --help --version"
  [ "$COMP_CWORD" -gt 1 ] && case "\${COMP_WORDS[1]}" in
${cases.join('\n')}
    *) words="" ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
  [ "\${#COMPREPLY[@]}" -eq 0 ] && COMPREPLY=($(compgen -f -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o filenames -F _banyan banyan
`
}

function fish(commands: readonly Command[]): string {
  const lines = commands.flatMap(({ name, summary, flags }) => [
    `complete -c banyan -n __fish_use_subcommand -a ${name} -d ${quoted(summary)}`,
    ...Object.entries(flags).map(([flag, { value, help }]) => {
      const needs = value === '' ? '' : ' -r'
      return `complete -c banyan -n '__fish_seen_subcommand_from ${name}' -l ${flag}${needs} -d ${quoted(help)}`
    }),
  ])
  return `${lines.join('\n')}\n`
}

function quoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
}
