/**
 * `banyan completion`: the completion scripts of the shells, and the candidates that the scripts ask for.
 */
import { candidatesFor, FILES } from './candidates.ts'
import type { Command, Given } from './command.ts'
import { CommandError, EXIT, type ExitCode, type Io, printable } from './io.ts'

/**
 * The command. With words after the shell it prints the candidates for the last of them, one a line with a tab and what it is:
 * that is what the scripts call.
 * @param all the commands that it completes
 */
export function completionOf(all: () => readonly Command[]): Command {
  return {
    name: 'completion',
    usage: 'bash | zsh | fish',
    summary: 'print the shell completion script',
    about: `Completes commands, flags, files, and the routes, upstreams, servers and revisions of the running proxy (--admin or BANYAN_ADMIN).`,
    examples: [
      'source <(banyan completion bash)',
      'banyan completion zsh > ~/.zfunc/_banyan',
      'banyan completion fish > ~/.config/fish/completions/banyan.fish',
    ],
    flags: {},
    counts: [1, Number.POSITIVE_INFINITY],
    run: async ({ args: [shell = '', ...words] }: Given, io: Io): Promise<ExitCode> => {
      const script = Object.hasOwn(SCRIPTS, shell) ? (SCRIPTS[shell] as string) : null
      if (script === null) {
        const shells = Object.keys(SCRIPTS).join(', ')
        throw new CommandError(EXIT.usage, `unknown shell '${shell}': must be one of ${shells}`)
      }
      io.out(words.length === 0 ? script : await candidates(all(), words, io))
      return EXIT.done
    },
  }
}

async function candidates(commands: readonly Command[], words: readonly string[], io: Io): Promise<string> {
  const found = await candidatesFor(commands, words, io)
  if (found === FILES) return `${FILES}\n`
  return found.map(({ word, about }) => `${printable(word)}\t${printable(about).replace(/[\t\n]/g, ' ')}\n`).join('')
}

/** By shell. Each passes the words up to the cursor and shows what comes back; nothing of what was typed is evaluated. */
const SCRIPTS: Readonly<Record<string, string>> = {
  // bash splits words at : and = too, and replaces the last part only, so what comes before it is cut off.
  bash: `_banyan() {
  local line=\${COMP_LINE:0:COMP_POINT} words last cut= one IFS=$' \\t\\n'
  read -r -a words <<< "$line"
  [[ $line == *[[:space:]] ]] && words+=('')
  last=\${words[\${#words[@]}-1]}
  [[ $last == *[:=]* ]] && cut=\${last%"\${last##*[:=]}"}
  COMPREPLY=()
  while IFS= read -r one; do
    if [[ $one == ${FILES} ]]; then
      compopt -o filenames 2> /dev/null
      while IFS= read -r one; do COMPREPLY+=("$one"); done < <(compgen -f -- "\${last##*=}")
      return
    fi
    one=\${one%%$'\\t'*}
    COMPREPLY+=("\${one#"$cut"}")
  done < <("$1" completion bash -- "\${words[@]:1}" 2> /dev/null)
}
complete -F _banyan banyan
`,
  zsh: `#compdef banyan
_banyan() {
  local one
  local -a found typed
  (( CURRENT > 2 )) && typed=("\${(@Q)words[2,CURRENT-1]}")
  while IFS= read -r one; do
    if [[ $one == ${FILES} ]]; then
      compset -P '--*='
      _files
      return
    fi
    found+=("\${\${one//:/\\\\:}/$'\\t'/:}")
  done < <("$words[1]" completion zsh -- "\${typed[@]}" "$PREFIX" 2> /dev/null)
  _describe banyan found
}
if [[ $funcstack[1] == _banyan ]]; then _banyan "$@"; else compdef _banyan banyan; fi
`,
  fish: `function __banyan_complete
  set -l words (commandline -opc)
  set -l last (commandline -ct)
  set -l flag (string match -r -- '^--[^=]*=' "$last")
  for one in ($words[1] completion fish -- $words[2..-1] "$last" 2> /dev/null)
    if test "$one" = ${FILES}
      for path in (__fish_complete_path (string replace -- "$flag" '' "$last"))
        printf '%s%s\\n' "$flag" $path
      end
    else
      printf '%s\\n' $one
    end
  end
end
complete -c banyan -f -a '(__banyan_complete)'
`,
}
