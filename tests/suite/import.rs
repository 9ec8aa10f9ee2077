//! `damper import` and the files that people have: read where it is clear what they say, refused with the remedy where not.

mod shapes;

use std::process::Command;

use serde_json::json;

use crate::support::process::{Process, Program};
use crate::support::world::World;
use crate::support::{in_both_setups, spawn};

in_both_setups!(files_are_read_as_programs_save_them);

fn files_are_read_as_programs_save_them(world: World) {
    let utf_16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let (post, two) = ("film", [("ann", 5), ("bob", 0)]);
    let table = |delimiter: &str, header: [&str; 4], row: &dyn Fn(&str, i32) -> [String; 4]| {
        let rows = two.map(|(user, score)| row(user, score).join(delimiter));
        [&[header.join(delimiter)], &rows[..]].concat().join("\r\n") + "\r\n"
    };
    // Of a spreadsheet, of a program that computes with floats and milliseconds, and of MovieLens.
    let sheet = table("\t", ["User ID", "Score", "Post ID", "Date"], &|user, score| {
        [user.into(), score.to_string(), post.into(), "2023-11-14T22:13:20Z".into()]
    });
    let floats = table(";", ["timestamp", "item", "reviewer", "rating"], &|user, score| {
        ["1700000000000".into(), post.into(), user.into(), format!("{score}.0")]
    });
    let movielens = "ann::film::5::1700000000\nbob::film::3::1700000000\n";
    let packed = world.file("floats.csv", &floats);
    spawn::run(Command::new("gzip").arg(&packed));
    let files = [
        world.file("sheet.txt", utf_16(&format!("\u{feff}{sheet}"))),
        world.file("marked.csv", format!("\u{feff}{floats}")),
        format!("{packed}.gz"),
        world.file("ratings.dat", movielens),
    ];
    for file in &files {
        for how in [&["import", file, "--json"][..], &["import", file, "--json", "--sorted"]] {
            let imported = world.cli(how).expect(0).json();
            let found = ["lines", "imported", "posts"].map(|field| imported[field].clone());
            assert_eq!(found, [json!(2), json!(2), json!(1)], "{imported}");
        }
    }
    // The same ratings again change nothing; only MovieLens' differ, at the same time.
    world.flush();
    let shown = world.cli(&["show", post, "--json"]).expect(0).json();
    assert_eq!(shown["histogram"], json!([0, 0, 0, 1, 0, 1]), "{shown}");
    let extra = world.file("extra.csv", "id,post,user,score,at\n1,film,cid,5,1700000000\n");
    let said = world.cli(&["import", &extra]).expect(0).out;
    assert!(said.contains("not read: the columns id"), "{said}");
}

#[test]
fn what_cannot_be_read_leaves_no_data_file() {
    let good = "post,user,score,timestamp\np,u,5,1700000000\n";
    for (text, code, remedy) in [
        ("p,u,5,1700000000\n", 1, "put a line like \"post,user,score,timestamp\" before it"),
        ("a,b,c,d\n", 1, "not a known header"),
        ("", 1, "the file is empty"),
        ("PK\u{3}\u{4}", 1, "unpack it"),
        ("post,user,score,timestamp\np,u,9,1700000000\n", 1, "say which scale they have"),
        (good, 0, "created the data file"),
    ] {
        let dir = spawn::temp_dir("import-");
        for how in [&["import", "-"][..], &["import", "-", "--sorted"]] {
            let run =
                Process::spawn(Program::Damper, how, &[], dir.path(), text.as_bytes()).finish().expect(code);
            assert!(run.err.contains(remedy) || how.len() == 3, "{}", run.err);
            let files = std::fs::read_dir(dir.path()).expect("a folder").count();
            assert_eq!(files > 0, code == 0, "{text:?}");
        }
    }
}
