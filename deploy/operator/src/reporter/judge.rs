//! Whether a zone's mesh is well, from what its agents say.

use std::fmt;

/// What one agent answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Of `/readyz`: none if it is ready.
    pub not_ready: Option<String>,
    /// Of `/metrics`.
    pub signaling_up: u64,
    pub signaling_away: u64,
    pub links_up: u64,
    /// Links that should be up and are not: being made, suspect, or lost.
    pub links_down: u64,
}

/// Why a zone's Lease is not renewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unwell {
    /// No agent is ready, as the zone's Service sees it.
    Nobody,
    /// Half of the agents or more, with the first one's reason.
    Most { unwell: usize, of: usize, reason: String },
}

impl fmt::Display for Unwell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody => f.write_str("no agent of the zone is ready"),
            Self::Most { unwell, of, reason } => write!(f, "{unwell} of {of} agents are not well: {reason}"),
        }
    }
}

impl Answer {
    /// Reads an agent's figures.
    pub fn read(not_ready: Option<String>, figures: &str) -> Self {
        let figure = |name: &str, state: &str| {
            let wanted = format!("{name}{{state=\"{state}\"}} ");
            figures.lines().find_map(|line| line.strip_prefix(&wanted)?.trim().parse().ok()).unwrap_or(0)
        };
        let links = |state| figure("meshproof_links", state);
        Self {
            not_ready,
            signaling_up: figure("meshproof_signaling_servers", "up"),
            signaling_away: figure("meshproof_signaling_servers", "away"),
            links_up: links("up"),
            links_down: links("connecting") + links("suspect") + links("lost"),
        }
    }

    /// Why this agent's mesh is not well. Links that are idle are wanted by nobody.
    fn unwell(&self) -> Option<String> {
        if let Some(why) = &self.not_ready {
            return Some(why.clone());
        }
        let (up, away) = (self.signaling_up, self.signaling_away);
        if up < away {
            // each zone has its own server: who reaches fewer than half of them is on the smaller side of a cut
            return Some(format!("it reaches {up} of {} signaling servers", up + away));
        }
        (self.links_up == 0 && self.links_down > 0).then(|| format!("none of its {} links is up", self.links_down))
    }
}

/// Well is a zone in which most agents are. An agent that did not answer is here as the reason for it.
///
/// # Errors
/// It is not well.
pub fn judge(answers: &[Result<Answer, String>]) -> Result<(), Unwell> {
    let why = |answer: &Result<Answer, String>| match answer {
        Ok(answer) => answer.unwell(),
        Err(error) => Some(error.clone()),
    };
    let reasons: Vec<String> = answers.iter().filter_map(why).collect();
    let (unwell, of) = (reasons.len(), answers.len());
    match reasons.into_iter().next() {
        _ if of == 0 => Err(Unwell::Nobody),
        Some(reason) if unwell * 2 >= of => Err(Unwell::Most { unwell, of, reason }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As docs/observability.md has it.
    fn figures(signaling: (u64, u64), links: [u64; 5]) -> String {
        let [connecting, up, suspect, lost, idle] = links;
        format!(
            "# TYPE meshproof_links gauge\n\
             meshproof_signaling_servers{{state=\"up\"}} {}\nmeshproof_signaling_servers{{state=\"away\"}} {}\n\
             meshproof_links{{state=\"connecting\"}} {connecting}\nmeshproof_links{{state=\"up\"}} {up}\n\
             meshproof_links{{state=\"suspect\"}} {suspect}\nmeshproof_links{{state=\"lost\"}} {lost}\n\
             meshproof_links{{state=\"idle\"}} {idle}\n# EOF\n",
            signaling.0, signaling.1
        )
    }

    fn answer(signaling: (u64, u64), links: [u64; 5]) -> Result<Answer, String> {
        Ok(Answer::read(None, &figures(signaling, links)))
    }

    #[test]
    fn an_agent_that_has_joined_and_is_idle_is_well_and_so_is_one_with_a_link() {
        assert_eq!(judge(&[answer((1, 0), [0; 5])]), Ok(()));
        assert_eq!(judge(&[answer((1, 0), [1, 1, 1, 1, 4])]), Ok(()));
        assert_eq!(judge(&[answer((0, 0), [0, 1, 0, 0, 0])]), Ok(()), "its link is up without signaling");
    }

    #[test]
    fn an_agent_is_not_well_without_links_that_it_should_have_or_on_the_smaller_side_of_a_cut() {
        let said = |answer| judge(&[answer]).expect_err("not well").to_string();
        assert_eq!(said(answer((1, 0), [1, 0, 0, 2, 9])), "1 of 1 agents are not well: none of its 3 links is up");
        assert_eq!(said(answer((1, 2), [0; 5])), "1 of 1 agents are not well: it reaches 1 of 3 signaling servers");
        assert_eq!(said(Err("no answer in 2.5 s".to_owned())), "1 of 1 agents are not well: no answer in 2.5 s");
        let not_ready = Answer::read(Some("no signaling server".to_owned()), "");
        assert_eq!(said(Ok(not_ready)), "1 of 1 agents are not well: no signaling server");
    }

    #[test]
    fn a_zone_is_well_if_most_of_its_agents_are_and_not_if_half_or_none_is_there() {
        let well = || answer((1, 0), [0; 5]);
        let unwell = || Err("gone".to_owned());
        assert_eq!(judge(&[well(), well(), unwell()]), Ok(()));
        assert_eq!(judge(&[well(), unwell()]), Err(Unwell::Most { unwell: 1, of: 2, reason: "gone".to_owned() }));
        assert_eq!(judge(&[]), Err(Unwell::Nobody));
    }
}
