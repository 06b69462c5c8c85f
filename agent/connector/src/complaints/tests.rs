use super::*;

const RUN: RunId = RunId(7);

#[test]
fn a_flood_is_one_fact_an_asking_and_the_last_complaint_is_not_lost() {
    let (sender, mut facts) = mpsc::unbounded_channel();
    let complaints = Complaints::new(RUN, sender);
    let mut told = || {
        let mut told = vec![];
        while let Ok((run, RunFact::Complained { complaint, text })) = facts.try_recv() {
            assert_eq!(run, RUN);
            told.push((complaint, text));
        }
        told
    };
    let mut asked = 0;
    let mut flood = |complaint, words: &str| {
        for _ in 0..100_000 {
            complaints.hear(complaint, || {
                asked += 1;
                words.into()
            });
        }
    };
    flood(Complaint::DnsFailed, "first");
    flood(Complaint::Unauthorized, "another kind");
    let first = [(Complaint::DnsFailed, "first".into()), (Complaint::Unauthorized, "another kind".into())];
    assert_eq!(told(), first);
    flood(Complaint::DnsFailed, "second");
    assert_eq!(told(), []);

    complaints.tell_again();
    let [dns, unauthorized] = first;
    assert_eq!(told(), [unauthorized, dns], "what came right after the first, in the order of the kinds");
    complaints.tell_again();
    assert_eq!(told(), []);
    complaints.hear(Complaint::DnsFailed, || "third".into());
    assert_eq!(told(), [(Complaint::DnsFailed, "third".into())]);
    assert_eq!(asked, 4, "nobody puts words together that nobody hears");
}
